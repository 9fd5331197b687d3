"""What is asked of a session's core memory and told of it, as JSON."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from fleet_rlm.server.services.runs.models import Strict

Section = Literal["persona", "human", "scratchpad"]


class CoreMemory(Strict):
    """The texts that stand in every prompt of a session, by section, as they were saved last."""

    session: str
    sections: dict[Section, str]


class EditMemory(Strict):
    """A paragraph to add to a section, or a text to put in its place."""

    section: Section
    content: Annotated[str, Field(max_length=2_000)]
    mode: Literal["append", "replace"] = "append"


class MemoryItem(Strict):
    """One change of a section: what was written, by whom, and in which run."""

    section: Section
    mode: Literal["append", "replace"]
    content: str
    who: Literal["user", "agent"]
    at: datetime.datetime
    run: str | None
