"""What a session costs: opening one, saving one turn more, and taking in a file, beside plain JSON of the same data."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from fleet_rlm.sessions.session import Session
from fleet_rlm.sessions.turns import Turn
from tests.benchmarks.measure import Figure, Row, at_most, figure, timed
from tests.benchmarks.runs import home

TURNS = (1_000, 10_000)
QUESTION, ANSWER = "Which deploy broke checkout, and what is the evidence? " * 4, "The deploy at 14:02. " * 30


def rows(quick: bool) -> list[Row]:
    """Sessions of a thousand and of ten thousand turns."""
    return [row for turns in TURNS for row in _rows(turns // (10 if quick else 1), 3 if quick else 15)]


def _rows(turns: int, n: int) -> list[Row]:
    with home(), tempfile.TemporaryDirectory() as folder:
        name = f"bench-{turns}"
        with Session(name) as session:
            for number in range(turns):
                session.turns.add(Turn.ended(f"{number}: {QUESTION}", ANSWER, "ok", f"r{number}", None))
        flat = Path(folder) / "turns.json"
        told = [{"question": turn.question, "answer": turn.answer, "at": turn.at} for turn in session.turns]
        flat.write_text(json.dumps(told))
        opening, saving = figure([_opening(name) for _ in range(n)]), figure(_saving(name, n))
        loading = figure([timed(lambda: json.loads(flat.read_bytes())) for _ in range(n)])
        dumping = figure([timed(lambda: flat.write_text(json.dumps(told))) for _ in range(n)])
        bars = [at_most("<= 300 ms", opening.value, 0.3)] if turns <= 1_000 else []
        return [
            Row(f"open a session of {turns:,} turns ({_times(opening, loading)} json.load)", "s", opening, bars=bars),
            Row(f"save one turn more, after {turns:,} ({_times(saving, dumping)} json.dump)", "s", saving),
        ]


def _times(ours: Figure, plain: Figure) -> str:
    return f"{ours.value / plain.value:.1f} times"


def _opening(name: str) -> float:
    begin = time.perf_counter()
    session = Session(name)
    seconds = time.perf_counter() - begin
    session.close()
    return seconds


def _saving(name: str, n: int) -> list[float]:
    with Session(name) as session:
        seconds = []
        for number in range(n):
            session.turns.add(Turn.ended(f"more {number}", ANSWER, "ok", f"more{number}", None))
            seconds.append(timed(session.save))
        return seconds
