"""The runs in FLEET_HOME: those of every process of this user, by id, read from their logs."""

from __future__ import annotations

from pathlib import Path

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.run import Run
from fleet_rlm.core.settings import Settings


def run_ids(home: Path | None = None) -> list[str]:
    """The ids of all runs with a log, the latest first."""
    runs = (home or Settings.from_environ().home) / "runs"
    return sorted((log.parent.name for log in runs.glob("*/events.jsonl")), reverse=True)


def open_run(name: str, home: Path | None = None) -> Run:
    """The run of this id, or of the only id that begins like this.

    Raises:
        UserError: there is none, there are several, or its log cannot be read.
    """
    home = home or Settings.from_environ().home
    known = run_ids(home)
    found = [name] if name in known else [run_id for run_id in known if name and run_id.startswith(name)]
    if len(found) > 1:
        raise UserError(f"{name!r} is the beginning of several runs: {', '.join(found[:5])}")
    if not found:
        latest = f"; the latest is {known[0]}" if known else ""
        raise UserError(f"there is no run {name!r} in {home / 'runs'}{latest}")
    return Run.from_jsonl(home / "runs" / found[0] / "events.jsonl")
