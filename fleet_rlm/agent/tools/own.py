"""Own tools: the user's functions, checked and made callable for the agent.

They run in this process with all its rights, as nothing else of a run does: a plain function on a thread, an async one
on the background loop. Nobody can know what one does, so `agent.approval` asks about it, and where a run goes on a call
that has returned is told again and never made twice. Functions cannot be written to a log: another process is handed
them again.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dspy
from pydantic.errors import PydanticUserError

from fleet_rlm.agent.approval import EFFECTS
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.run import Run

TAKEN = frozenset({*EFFECTS, "finish", "load"})
"""Names a tool of one's own cannot have: they are those of ours, of dspy's agent, and of spans in the log."""

_HANDED: weakref.WeakKeyDictionary[Run, tuple[dspy.Tool, ...]] = weakref.WeakKeyDictionary()
"""The tools of the runs of this process, which goes on with them by itself."""


class ToolFailed(FleetError):
    """A function of the user raised; the agent reads what and goes on."""


def own_tools(tools: Sequence[Callable[..., Any] | dspy.Tool] | None) -> tuple[dspy.Tool, ...]:
    """The functions as tools of the agent.

    Raises:
        UserError: one cannot be described to a model, or has the name of another.
    """
    if tools is None:
        return ()
    if callable(tools) or isinstance(tools, str) or not isinstance(tools, Iterable):
        raise UserError("tools takes a list of functions: tools=[function, ...]")
    made: dict[str, dspy.Tool] = {}
    for given in tools:
        tool = _tool(given)
        name = str(tool.name)
        if name in TAKEN:
            raise UserError(f"{name} is a tool that the agent has already; give your function another name")
        if name in made:
            raise UserError(f"two of the tools are called {name}; give one of them another name")
        made[name] = tool
    return tuple(made.values())


def hand(run: Run, tools: tuple[dspy.Tool, ...]) -> None:
    """Remember the tools of a run for as long as somebody holds it."""
    _HANDED[run] = tools


def handed(run: Run | str) -> tuple[dspy.Tool, ...]:
    """The tools a run of this process was given; none for a run of another."""
    return _HANDED.get(run, ()) if isinstance(run, Run) else ()


def again(names: Sequence[str], given: tuple[dspy.Tool, ...]) -> tuple[dspy.Tool, ...]:
    """The tools a run goes on with, whose names it knows, and what is given beside them.

    Raises:
        UserError: one is not here.
    """
    here = {str(one.name): one for one in given}
    missing = [name for name in names if name not in here]
    if missing:
        all_of = ", ".join(missing)
        raise UserError(
            f"the run has tools of its user that are not in this process: {all_of}; define them and hand them again: "
            f"run.resume(tools=[{all_of}]), or %fleet resume --tools {','.join(missing)}"
        )
    return tuple(here[name] for name in dict.fromkeys([*names, *(str(one.name) for one in given)]))


def _tool(given: Callable[..., Any] | dspy.Tool) -> dspy.Tool:
    function = given.func if isinstance(given, dspy.Tool) else given
    if not callable(function):
        raise UserError(f"a tool is a function or a dspy.Tool, not {type(function).__name__}")
    tool = given if isinstance(given, dspy.Tool) else _described(function)
    if not str(tool.name).isidentifier():
        raise UserError(
            f"{tool.name} is no name a model can call; write a function with def, or dspy.Tool(f, name=...)"
        )
    return dspy.Tool(
        _calling(str(tool.name), function),
        name=tool.name,
        desc=inspect.cleandoc(tool.desc or ""),
        args=tool.args,
        arg_types=tool.arg_types,
    )


def _described(function: Callable[..., Any]) -> dspy.Tool:
    """A function as a model is told of it, from its name, its docstring and the types of its parameters."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} does not say what it takes; wrap it in a function with type hints") from error
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise UserError(f"{name} takes `{one}`, but a model gives arguments by name; name each one, with its type")
        if one.annotation is one.empty:
            raise UserError(f"the argument {one.name} of {name} has no type; write it, as in {one.name}: str")
    try:
        return dspy.Tool(function)
    except (PydanticUserError, NameError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"a type of {name} cannot be told to a model ({first}); use str, int, list, dict, ..."
        ) from error


def _calling(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(**arguments: Any) -> Any:
        try:
            if inspect.iscoroutinefunction(function):
                return await function(**arguments)
            result = await asyncio.to_thread(function, **arguments)
            return await result if inspect.isawaitable(result) else result
        except FleetError:
            raise
        except Exception as error:  # a function of the user's may raise anything, and none of it ends the run
            raise ToolFailed(f"{type(error).__name__}: {error}") from error

    call.__name__ = name
    return call
