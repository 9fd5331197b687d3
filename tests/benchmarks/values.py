"""How long the first delivery of a large value takes, until a cell has used it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleet_rlm.sandbox.local import LocalSandbox
from fleet_rlm.sandbox.values import HEAVY
from tests.benchmarks.measure import Figure, Row, at_most, figure, timed
from tests.benchmarks.peers import DENO, INTERPRETERS, RLMS, missing, rlms_repl

TEXT = 100_000_000  # characters
ROWS = 3_000_000  # of four float64 columns: 96 MB

COPIED = "Written once into a memory file and mapped from it, page by page, so memory sets the pace"


def rows(quick: bool) -> list[Row]:
    """A text of 100 MB and a frame of 96 MB."""
    import numpy as np
    import pandas as pd

    size = TEXT // 10 if quick else TEXT
    text = "a line of a log file, with a number 4711 in it\n" * (size // 47)
    numbers = np.random.default_rng(1)
    frame = pd.DataFrame({name: numbers.random(ROWS // (10 if quick else 1)) for name in "abcd"})
    n = 2 if quick else 7
    of_text = figure([_ours(text, len(text)) for _ in range(n)])
    of_frame = figure([_ours(frame, len(frame)) for _ in range(n)])
    refused: dict[str, Figure | str] = {name: _refusal(name, frame.head(3)) for name in INTERPRETERS}
    refused[RLMS] = _rlms_refusal(frame.head(3))
    return [
        Row(
            "first delivery of a 100 MB str",
            "s",
            of_text,
            _peers(text, 1 if quick else 3),
            [at_most("<= 250 ms", of_text.value, 0.250)],
            f"{COPIED}; 180 to 235 ms on a quiet machine.",
        ),
        Row(
            "first delivery of a 96 MB DataFrame",
            "s",
            of_frame,
            refused,
            [at_most("<= 120 ms", of_frame.value, 0.120)],
            f"{COPIED}; 50 to 80 ms on a quiet machine.",
        ),
    ]


def _ours(value: Any, length: int) -> float:
    """Each time the same object into a new sandbox, which has not seen it."""
    with LocalSandbox(preload=HEAVY) as sandbox:

        def deliver() -> None:
            sandbox.put("value", value)
            assert sandbox.run("len(value)").value == str(length)

        return timed(deliver)


def _peers(text: str, n: int) -> dict[str, Figure | str]:
    found: dict[str, Figure | str] = {}
    for name in INTERPRETERS:
        found[name] = missing(name) or figure([_delivery(name, text) for _ in range(1 if name == DENO else n)])
    found[RLMS] = missing(RLMS) or figure([timed(lambda: _rlms(text)) for _ in range(n)])
    return found


def _delivery(name: str, text: str) -> float:
    interpreter = INTERPRETERS[name]()
    interpreter.start()
    try:
        return timed(lambda: interpreter.execute("len(value)", variables={"value": text}))
    finally:
        interpreter.shutdown()


def _rlms(value: Any) -> None:
    repl = rlms_repl(context_payload=value)
    repl.execute_code("len(context)")
    repl.cleanup()


def _refusal(name: str, frame: Any) -> str:
    def deliver() -> None:
        interpreter = INTERPRETERS[name]()
        try:
            interpreter.execute("len(value)", variables={"value": frame})
        finally:
            interpreter.shutdown()

    return missing(name) or _told(deliver)


def _rlms_refusal(frame: Any) -> str:
    return missing(RLMS) or _told(lambda: _rlms(frame))


def _told(deliver: Callable[[], None]) -> str:
    """What the peer says to a frame; an accepted one would need a figure."""
    try:
        deliver()
    except Exception as error:  # each peer has its own
        return f"refused ({type(error).__name__})"
    raise AssertionError("this peer takes a DataFrame: measure it")
