"""An errand: one piece of the agent's work for the server, in a process of its own; asked on stdin, told on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_rlm.core.errors import FleetError, UserError


def export(session: str, format: str, to: str) -> dict[str, Any]:
    """Write a session as it was saved last to a file: "zip" is all of it, "parquet" the spans of its runs."""
    from fleet_rlm.sessions.archive import exported
    from fleet_rlm.sessions.shelf import Shelf
    from fleet_rlm.sessions.state import State

    shelf = Shelf()
    entry = next((one for one in shelf.entries() if one.id == session), None)
    if entry is None:
        raise UserError(f"nothing of session {session} was saved here")
    revisions = shelf.revisions(entry, writable=False)
    saved = revisions.load().revision.state
    state = State.unpacked(saved, revisions.blob, shelf.documents(entry))
    if format == "zip":
        exported(state, shelf.volume(entry.volume), shelf, Path(to))
    else:
        _spans([turn.run for turn in state.turns if turn.run], shelf.home, Path(to))
    return {"bytes": Path(to).stat().st_size}


def delete(session: str, runs: list[str]) -> dict[str, Any]:
    """Delete what lies on the disk of a session, and of these runs; where nothing does, nothing is done."""
    from fleet_rlm.sessions.deleting import delete_files
    from fleet_rlm.sessions.shelf import Entry, Shelf

    shelf = Shelf()
    entry = next((one for one in shelf.entries() if one.id == session), None)
    delete_files(shelf, entry or Entry(id=session, name=session, volume=session), runs)
    return {}


def sandbox() -> dict[str, Any]:
    """Start the sandbox of this machine, let it compute, and tell what stands between it and the machine."""
    from fleet_rlm.core.loop import run_sync
    from fleet_rlm.core.settings import Settings
    from fleet_rlm.sandbox.registry import sandbox_named

    settings = Settings.from_environ()
    name = settings.sandbox

    async def tried() -> dict[str, Any]:
        made = sandbox_named(name, least=settings.sandbox_tier)
        begun = time.perf_counter()
        try:
            await made.astart()
            result = await made.aexecute("print(6 * 7)", timeout=30)
            if result.stdout.strip() != "42":
                raise UserError(f"the sandbox computed {result.text()[:80]!r} for 6 * 7")
            latency = (time.perf_counter() - begun) * 1000
            return {"name": name, "isolation": made.isolation.summary(), "latency_ms": round(latency, 1)}
        finally:
            await made.aclose()

    return run_sync(tried())


def _spans(runs: list[str], home: Path, to: Path) -> None:
    import pandas as pd

    from fleet_rlm.core.frame import spans_frame
    from fleet_rlm.core.run import Run
    from fleet_rlm.core.tree import Tree

    logs = [home / "runs" / run / "events.jsonl" for run in dict.fromkeys(runs)]
    frames = [Run.from_jsonl(log).spans() for log in logs if log.is_file()]
    frame = pd.concat(frames, ignore_index=True) if frames else spans_frame(Tree())
    frame.to_parquet(to)


VERBS: dict[str, Callable[..., dict[str, Any]]] = {"export": export, "delete": delete, "sandbox": sandbox}


def main() -> None:
    """Do what is asked; whatever else writes to stdout meanwhile goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked = json.load(sys.stdin)
    told: dict[str, Any]
    try:
        told = {"result": VERBS[asked["verb"]](**asked["args"])}
    except FleetError as error:
        told = {"fault": str(error), "kind": type(error).__name__}
    json.dump(told, answers)
    answers.flush()


if __name__ == "__main__":
    main()
