"""Runs that ended without an answer, and what is looked at when they have gone on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import FleetError
from tests.twins.replies import Reply, refused_key
from tests.twins.running import BIG
from tests.twins.scripts import rlm_action

BROKEN = refused_key()


def cells(*codes: str | Reply) -> list[str | Reply]:
    """What an RLM's model replies in turn; a Reply stands for itself."""
    return [code if isinstance(code, Reply) else rlm_action("-", code) for code in codes]


def failed(lm: Any, context: Any = BIG, **options: Any) -> fleet.Run:
    """A run that has ended without an answer."""
    with pytest.raises(FleetError) as caught:
        fleet.run("What?", context=context, lm=lm, mode="rlm_only", **options)
    return caught.value.run


def from_disk(run: fleet.Run, home: Path) -> fleet.Run:
    return fleet.Run.from_jsonl(home / "runs" / run.id / "events.jsonl")


def outputs(run: fleet.Run) -> list[str]:
    return [span.output or "" for span in run.tree.spans.values() if span.type == "code"]


def is_whole(run: fleet.Run, home: Path) -> bool:
    """Whether the log on disk is the run's, gap-free, with nothing left open."""
    open_ = [span for span in run.tree.spans.values() if span.end is None]
    return from_disk(run, home).tree.canonical() == run.tree.canonical() and not open_
