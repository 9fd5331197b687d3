"""Approval: which calls of the agent's tools wait for a person, and the waiting.

What a tool does beyond its run is said once, in `EFFECTS`; a tool that is not named there is the user's own, and as
nobody can know what it does, it asks. The log is the only channel: a question is an `approval.ask` in the span of the
call, the decision an `approval.answer` there, whoever writes it (`Run.approve`). So a run that goes on from its log has
the decisions that were made, asks again what nobody answered, and two questions at once are told apart by their spans.

While a person is waited for the run's time limit stands still. Stop ends the waiting like everything else. Code of the
model is not asked about: its sandbox is what holds it, so where that does not confine the run says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import ApprovalAnswer, ApprovalAsk, Event
from fleet_rlm.core.log import RunLog, current_span
from fleet_rlm.core.loop import background_loop

Policy = Literal["auto", "edits", "ask"]
"""`auto`: nothing asks. `edits`: what the session keeps for itself is written freely, what goes outside asks. `ask`:
both ask."""

ONCE, ALWAYS, NO = OPTIONS = ("once", "always", "no")
"""What can be decided; "always" holds for this tool and this run."""

ARGUMENT_CHARS = 200
CALL_CHARS = 400
"""Characters of one argument, and of all of them, that a question shows; the span has them whole."""


@dataclass(frozen=True)
class Effect:
    """One thing a tool does beyond its run.

    Attributes:
        says: it in words, with arguments of the call in braces.
        given: the argument without which it is not done.
        is_address: it is done only if that argument is an address of another machine.
        is_reused: and only if nothing was loaded from there yet.
        is_kept: it stays in the session's own memory and buffers.
    """

    says: str
    given: str | None = None
    is_address: bool = False
    is_reused: bool = False
    is_kept: bool = False


def _fetches(argument: str, says: str = "fetch") -> Effect:
    return Effect(f"{says} {{{argument}}}", argument, is_address=True)


def _keeps(says: str, given: str | None = None) -> Effect:
    return Effect(says, given, is_kept=True)


_DOCUMENT = Effect("fetch {document}", "document", is_address=True, is_reused=True)

EFFECTS: Mapping[str, tuple[Effect, ...]] = MappingProxyType(
    {
        "load_document": (_fetches("path"),),
        "load_repository": (_fetches("repo_url", "clone"),),
        **dict.fromkeys(("delegate_to_rlm", "delegate_to_rlm_batched", "chunk_document"), (_DOCUMENT,)),
        **dict.fromkeys(("analyse_document", "summarise_document", "extract_from_logs"), (_DOCUMENT,)),
        **dict.fromkeys(("grounded_answer", "triage_incident", "plan_change"), (_DOCUMENT,)),
        "semantic_map": (_DOCUMENT, _keeps("write the replies to the buffer {buffer}", "buffer")),
        "write_buffer": (_keeps("write to the buffer {name}"),),
        "clear_buffer": (_keeps("remove the buffer {name}"),),
        "memory_write": (_keeps("write the memory file {path}"),),
        "edit_core_memory": (_keeps("change {section} in the memory of this session"),),
        **dict.fromkeys(("execute_code", "clarify", "list_documents", "set_active_document"), ()),
        **dict.fromkeys(("list_files", "find_files", "read_file_slice"), ()),
        **dict.fromkeys(("list_buffers", "read_buffer", "memory_list", "memory_read"), ()),
    }
)
"""Every tool of ours and what it does beyond its run."""


def checked(policy: object) -> Policy:
    """A policy by its name. Raises UserError: there is none of that name."""
    known = get_args(Policy)
    if policy not in known:
        near = difflib.get_close_matches(str(policy), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"approve must be one of {', '.join(map(repr, known))}, not {policy!r}{hint}")
    return policy  # type: ignore[return-value]


def check_answerable(options: Mapping[str, Any]) -> None:
    """Refuse what would wait for ever: a caller that blocks until the answer never has the run to decide for.

    Raises:
        UserError: the options let the run ask.
    """
    if options.get("approve", "auto") != "auto":
        raise UserError(
            "nobody could answer what this run asks, because the call returns only at its end; "
            "call start(...) instead: it returns the run at once, and run.approve() decides what run.asks holds"
        )


class Approvals:
    """Asks for one run.

    Args:
        log: the run's; the decisions in it hold.
        policy: what asks.
        pause: is entered while a person is waited for.
        is_loaded: whether a document was loaded from an address already.
    """

    def __init__(
        self,
        log: RunLog,
        policy: Policy,
        *,
        pause: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        is_loaded: Callable[[str], bool] = lambda address: False,
    ) -> None:
        self._log = log
        self._policy = policy
        self._pause = pause
        self._is_loaded = is_loaded
        self._asked: dict[str, str] = {}  # span to tool
        self._answers: dict[str, ApprovalAnswer] = {}  # by span
        self._always: set[str] = set()
        self._waiting: dict[str, asyncio.Event] = {}
        log.subscribe(self._note, since=0)

    async def permit(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Wait until this call may be made, in whose span we are.

        Returns:
            None if it may; else what the model is told instead.
        """
        span = current_span()
        assert span is not None
        answer = self._answers.get(span.id)
        if answer is None:
            question = self._question(tool, arguments)
            if question is None or tool in self._always:
                return None
            answer = await self._ask(span.id, tool, question)
        if answer.answer != NO:
            return None
        reason = f": {answer.note.strip().rstrip('.')}" if answer.note and answer.note.strip() else ""
        return f"{tool} was not used, for the user declined{reason}. Go another way, or answer without it."

    def declined(self, span: str) -> bool:
        """Whether what this span asked was answered with a no."""
        return span in self._answers and self._answers[span].answer == NO

    async def _ask(self, span: str, tool: str, question: str) -> ApprovalAnswer:
        settled = self._waiting[span] = asyncio.Event()
        try:
            with self._pause():
                self._log.emit(ApprovalAsk(span=span, question=question, options=list(OPTIONS), tool=tool))
                await settled.wait()
        finally:
            del self._waiting[span]
        return self._answers[span]

    def _note(self, event: Event) -> None:
        if isinstance(event, ApprovalAsk) and event.span is not None:
            self._asked[event.span] = event.tool
        elif isinstance(event, ApprovalAnswer) and event.span in self._asked:
            self._answers[event.span] = event
            if event.answer == ALWAYS:
                self._always.add(self._asked[event.span])
            if (settled := self._waiting.get(event.span)) is not None:
                background_loop().call_soon_threadsafe(settled.set)

    def _question(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """What is asked before this call; None if nothing is."""
        if self._policy == "auto":
            return None
        if tool not in EFFECTS:
            return f"Use {tool}({_short(json.dumps(arguments, ensure_ascii=False, default=repr), CALL_CHARS)})?"
        done = [
            effect.says.format_map(_Shown(arguments))
            for effect in EFFECTS[tool]
            if not (effect.is_kept and self._policy == "edits") and self._is_done(effect, arguments)
        ]
        told = " and ".join(done)
        return f"{told[0].upper()}{told[1:]}?" if told else None

    def _is_done(self, effect: Effect, arguments: Mapping[str, Any]) -> bool:
        value = "" if effect.given is None else str(arguments.get(effect.given) or "")
        if effect.given is not None and not value:
            return False
        if effect.is_address and "://" not in value:
            return False
        return not (effect.is_reused and self._is_loaded(value))


class _Shown(dict[str, str]):
    """Arguments as a question shows them; a call may lack some, and then fails once it is made."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__({name: _short(value, ARGUMENT_CHARS) for name, value in arguments.items()})

    def __missing__(self, name: str) -> str:
        return f"(no {name})"


def _short(value: object, chars: int) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= chars else f"{text[:chars]}…"
