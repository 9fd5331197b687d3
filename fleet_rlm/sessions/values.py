"""The values of earlier turns in a later kernel: recalled from where the runs kept them, as far as they are.

How a value is kept is the runs' business (`fleet_rlm.agent.kept`); a session only remembers which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from fleet_rlm.agent import kept
from fleet_rlm.core.run import Run


def entries_of(run: Run, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How a run keeps its values, for those of `names` that it has."""
    if run.log.directory is None:
        return {}
    try:
        told = json.loads((run.log.directory / kept.NAME).read_bytes())
    except (OSError, ValueError):  # not kept, which the run has told
        return {}
    return {name: told[name] for name in names if name in told}


def recalled(entries: dict[str, dict[str, Any]], home: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that can be had again, and why the others cannot."""
    return kept.recovered(msgspec.convert(entries, dict[str, kept.Entry]), home)
