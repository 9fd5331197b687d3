"""A task as it was asked, checked and resolved before anything is spent."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import dspy

from fleet_rlm.agent.approval import Policy, checked
from fleet_rlm.agent.context import described, named, small_text
from fleet_rlm.agent.tools.own import own_tools
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import Variable
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.recording import Recording, Replay
from fleet_rlm.lm.resolve import Resolved, resolve_both
from fleet_rlm.lm.windows import CHARS_PER_TOKEN, has_price, window
from fleet_rlm.rlm.scope import QUERIES
from fleet_rlm.sandbox.registry import check_name

P = ParamSpec("P")
R = TypeVar("R")

Mode = Literal["auto", "rlm_only", "tools_only", "direct"]

CELL_TIMEOUT = 120.0
"""Seconds a cell may compute by default; a search over gigabytes takes some ten seconds."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run will do.

    Attributes:
        task: the question.
        values: the data by name; paths are already opened.
        context: the same data as it is described to the model.
        text: the data as text if it is to be answered directly, else None.
        mode: "direct", "rlm_only", "tools_only", or "agent" where "auto" chose the agent.
        lm, sub_lm: the models.
        budget: what the run may spend.
        cell_timeout: seconds a cell may compute.
        concurrency: sub-queries in flight at once.
        sandbox: the backend's name.
        approve: which calls of tools wait for a person.
        tools: the user's own, which the agent has beside ours.
        settings: the environment's settings.
        auto: the mode was left to us.
        tape: where the replies are recorded, or replayed from.
    """

    task: str
    values: dict[str, Any]
    context: list[Variable]
    text: str | None
    mode: str
    lm: Resolved
    sub_lm: Resolved
    budget: Budget
    cell_timeout: float
    concurrency: int
    sandbox: str
    settings: Settings
    approve: Policy = "auto"
    tools: tuple[dspy.Tool, ...] = ()
    auto: bool = False
    tape: Recording | Replay | None = None

    @property
    def given(self) -> list[str]:
        """The options whose models were given as objects: their names do not say how to call them."""
        return [option for option, one in (("lm", self.lm), ("sub_lm", self.sub_lm)) if one.given]


COMMAND_LINE = {"model": "lm", "sub_model": "sub_lm", "with": "context"}
"""Options that are called otherwise where they are typed (`--model`), and how they are called in Python."""


def request(
    task: str,
    *,
    context: Any = None,
    lm: str | dspy.BaseLM | None = None,
    sub_lm: str | dspy.BaseLM | None = None,
    mode: Mode = "auto",
    budget: int | Budget | None = None,
    timeout: float | None = None,
    cell_timeout: float | None = None,
    depth: int | None = None,
    concurrency: int = QUERIES,
    sandbox: str | None = None,
    approve: Policy = "auto",
    tools: Sequence[Callable[..., Any] | dspy.Tool] | None = None,
    record: str | Path | None = None,
    replay: str | Path | None = None,
) -> Request:
    """Check and resolve everything that costs nothing.

    Raises:
        UserError: something cannot be carried out as written.
        ModelError: a model or its key is missing.
    """
    if not isinstance(task, str) or not task.strip():
        raise UserError("the question is empty; write what you want to know")
    if mode not in get_args(Mode):
        near = difflib.get_close_matches(str(mode), get_args(Mode), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"mode must be one of {', '.join(map(repr, get_args(Mode)))}, not {mode!r}{hint}")
    own = own_tools(tools)
    if own and mode in ("rlm_only", "direct"):
        raise UserError(
            f"only the agent can use tools, and mode {mode!r} leaves it out; use mode 'auto' or 'tools_only'"
        )
    settings = Settings.from_environ()
    sandbox = settings.sandbox if sandbox is None else sandbox
    check_name(sandbox)
    limits = budget if isinstance(budget, Budget) else Budget() if budget is None else Budget(calls=budget)
    if timeout is not None:
        limits = replace(limits, seconds=timeout)
    if depth is not None:
        limits = replace(limits, depth=depth)
    if cell_timeout is not None and not (isinstance(cell_timeout, (int, float)) and cell_timeout > 0):
        raise UserError(f"cell_timeout must be a number of seconds above 0, not {cell_timeout!r}")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise UserError(f"concurrency must be a whole number of at least 1, not {concurrency!r}")
    model, sub_model, tape = _models(task.strip(), lm, sub_lm, settings, record, replay)
    for one in (model, sub_model):
        if limits.usd is not None and replay is None and not has_price(one.lm):
            raise UserError(
                f"the price of {one.name} is not known, so a limit in dollars cannot be kept; "
                "limit model calls instead (--budget N, or budget=N)"
            )
    values = named(context)
    direct_chars = _direct_chars(model.lm, settings)
    text = small_text(values, direct_chars) if mode in ("auto", "direct") and not own else None
    if mode == "direct" and text is None:
        raise UserError(
            f"the data is no plain text or table that fits one prompt (about {direct_chars:,} characters); "
            "use mode 'auto' or 'rlm_only'"
        )
    return Request(
        task=task.strip(),
        values=values,
        context=described(values),
        text=text,
        mode="direct" if text is not None else "agent" if mode == "auto" else mode,
        lm=model,
        sub_lm=sub_model,
        budget=limits,
        cell_timeout=cell_timeout or CELL_TIMEOUT,
        concurrency=concurrency,
        sandbox=sandbox,
        settings=settings,
        approve=checked(approve),
        tools=own,
        auto=mode == "auto",
        tape=tape,
    )


OPTIONS = tuple(inspect.signature(request).parameters)
"""What `request` takes."""


def _models(
    task: str, lm: Any, sub_lm: Any, settings: Settings, record: str | Path | None, replay: str | Path | None
) -> tuple[Resolved, Resolved, Recording | Replay | None]:
    if replay is None:
        model, sub_model = resolve_both(lm, sub_lm, settings)
        return model, sub_model, None if record is None else Recording(Path(record), task, model, sub_model)
    if record is not None:
        raise UserError("a run is recorded or replayed, not both; leave one of them out")
    if lm is not None or sub_lm is not None:
        raise UserError("a replayed run calls no model; leave the models out, or record it again with them")
    tape = Replay(Path(replay), task)
    return tape.lm, tape.sub_lm, tape


def with_options_of(declared: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function that passes its options on the signature that declares them, and name a wrong one clearly."""
    signature = inspect.signature(declared)

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            check_options(function.__name__, kwargs, signature.parameters)
            return function(*args, **kwargs)

        returns = inspect.signature(function).return_annotation
        checked.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
        return checked

    return decorate


def check_options(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise UserError for an option that a function does not have, naming the one that was meant."""
    for name in given:
        if name not in known:
            meant = COMMAND_LINE.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
            hint = f"did you mean {meant!r}?" if meant in known else f"there are {', '.join(known)}"
            raise UserError(f"{function} has no option {name!r}; {hint}")


def _direct_chars(lm: dspy.BaseLM, settings: Settings) -> int:
    """Half the model's window at most: the answer and the instructions need room too."""
    tokens = window(lm) or settings.window
    return settings.direct_chars if tokens is None else min(settings.direct_chars, int(tokens * CHARS_PER_TOKEN / 2))
