"""The values of earlier turns in a later kernel: recalled from where the runs kept them, as far as they are.

How a value is kept is the runs' business (`fleet_rlm.agent.kept`); a session only remembers which.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fleet_rlm.agent import kept
from fleet_rlm.core.run import Run
from fleet_rlm.rlm.describe import type_name


def entries_of(
    run: Run, values: Mapping[str, Any], before: Mapping[str, dict[str, Any]], fresh: Collection[str]
) -> dict[str, dict[str, Any]]:
    """How the values of a session are kept after a turn.

    Args:
        before: how they were kept before it.
        fresh: those it was given: how others of that name were kept before says nothing of them.
    """
    told: dict[str, dict[str, Any]] = {}
    if run.log.directory is not None:
        with contextlib.suppress(OSError, ValueError):  # not kept, which the run has told
            told = json.loads((run.log.directory / kept.NAME).read_bytes())
    still = {name: entry for name, entry in before.items() if name not in fresh}
    lost = {name: {"type": type_name(value), "why": "could not be kept"} for name, value in values.items()}
    return {name: told.get(name) or still.get(name) or lost[name] for name in values}


def recalled(entries: dict[str, dict[str, Any]], home: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that can be had again, and why the others cannot."""
    return kept.recovered(msgspec.convert(entries, dict[str, kept.Entry]), home)
