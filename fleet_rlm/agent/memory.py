"""CoreMemory: the few bounded texts that stand in every prompt of a session, and who wrote what in them.

Three sections: who the agent is (`persona`), what it knows of its user (`human`), and its notes (`scratchpad`). The
user edits them from Python, the agent by a tool; both go through `edit`, which keeps the limits and writes down who
it was.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.log import current_span
from fleet_rlm.core.redaction import encodable

LIMITS: Mapping[str, int] = MappingProxyType({"persona": 2_000, "human": 2_000, "scratchpad": 1_000})
"""Section to the characters it may hold."""

EDITS = 200
"""Latest edits that are kept with their text; older ones are forgotten, what they wrote stays."""

Mode = Literal["append", "replace"]


class MemoryEditError(UserError):
    """The core memory cannot be edited as asked."""


class MemoryFull(MemoryEditError):
    """An edit would make a section longer than it may be.

    Attributes:
        section: which one.
        limit: characters it may hold.
        size: characters it would have held.
    """

    def __init__(self, section: str, limit: int, size: int, held: int) -> None:
        self.section, self.limit, self.size = section, limit, size
        way_out = (
            f"it holds {held:,} already: replace the section by a shorter text"
            if held
            else f"cut the text to {limit:,} characters"
        )
        super().__init__(
            f"the memory section {section!r} holds at most {limit:,} characters and would have {size:,}, "
            f"{size - limit:,} too many; {way_out}, and keep what is longer in a buffer or a memory file"
        )


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of a section.

    Attributes:
        section, mode, content: what was written, and how.
        who: "user" or "agent".
        at: when, UTC in ISO 8601.
        run: id of the run in which the agent wrote it; None for the user.
    """

    section: str
    mode: Mode
    content: str
    who: Literal["user", "agent"]
    at: str
    run: str | None = None


class CoreMemory:
    """The sections of one session, empty at first.

    Attributes:
        changed: is called after an edit by the user; the agent's are saved with its turn.
    """

    def __init__(self) -> None:
        self.changed: Callable[[], object] = lambda: None
        self._sections: dict[str, str] = dict.fromkeys(LIMITS, "")
        self._edits: list[Edit] = []

    @property
    def sections(self) -> Mapping[str, str]:
        """Section name to text."""
        return MappingProxyType(self._sections)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The latest changes, oldest first."""
        return tuple(self._edits)

    def edit(self, section: str, content: str, mode: Mode = "append") -> Edit:
        """Change one section: add a paragraph to it, or put a text in its place; an edit inside a run is the agent's.

        Raises:
            MemoryFull: the section would become too long.
            MemoryEditError: there is no such section or mode.
        """
        if section not in LIMITS:
            raise MemoryEditError(f"the core memory has no section {section!r}; there are {', '.join(LIMITS)}")
        if mode not in ("append", "replace"):
            raise MemoryEditError(f"a section is edited by 'append' or 'replace', not {mode!r}")
        content = encodable(str(content))
        before = self._sections[section]
        text = f"{before}\n{content}" if mode == "append" and before else content
        if len(text) > LIMITS[section]:
            held = len(before) if mode == "append" else 0
            raise MemoryFull(section, LIMITS[section], len(text), held)
        span = current_span()
        made = Edit(
            section=section,
            mode=mode,
            content=content,
            who="user" if span is None else "agent",
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            run=None if span is None else span.log.run,
        )
        self._sections[section] = text
        self._edits = [*self._edits, made][-EDITS:]
        if made.who == "user":
            self.changed()
        return made

    def text(self) -> str:
        """All sections as they stand in the agent's prompt."""
        parts = [
            f"{name} ({len(text):,} of {LIMITS[name]:,} characters):\n{text or '(empty)'}"
            for name, text in self._sections.items()
        ]
        return "\n\n".join(parts)

    def state(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {"sections": dict(self._sections), "edits": [asdict(edit) for edit in self._edits]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CoreMemory:
        """A memory as `state` told it."""
        memory = cls()
        memory._sections |= {name: str(text) for name, text in state["sections"].items()}
        memory._edits = [Edit(**edit) for edit in state["edits"]]
        return memory

    def __repr__(self) -> str:
        return self.text()
