"""The turns of a session, and how they are kept: full segments of them as blobs that never change, the rest inline.

So saving one turn more costs the same after ten thousand as after ten.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, overload

from fleet_rlm.agent.workspace import Exchange
from fleet_rlm.core.events import RunEnd
from fleet_rlm.core.run import Run

if TYPE_CHECKING:
    import pandas as pd

SEGMENT = 100
"""Turns of one blob."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question and what became of it.

    Attributes:
        question: as it was asked.
        answer: the answer, None where there was none.
        status: of the run: "ok", "exhausted", "stopped" or "failed".
        run: the run's id; None where the turn is older than that was kept.
        error: why there is no full answer.
        at: when it ended, UTC in ISO 8601.
        effects: marks of the tool calls by which it changed the session (`fleet_rlm.agent.effects`).
    """

    question: str
    answer: str | None
    status: str
    run: str | None
    error: str | None
    at: str
    effects: list[str] = field(default_factory=list)

    @classmethod
    def ended(
        cls,
        question: str,
        answer: str | None,
        status: str,
        run: str,
        error: str | None,
        effects: Sequence[str] = (),
    ) -> Turn:
        """A turn that ends now."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        return cls(question=question, answer=answer, status=status, run=run, error=error, at=at, effects=[*effects])

    def exchange(self) -> Exchange:
        """As a model is told of it."""
        return Exchange(self.question, self.answer if self.answer is not None else f"(no answer: {self.error})")


class Turns(Sequence[Turn]):
    """All turns, oldest first."""

    def __init__(self, turns: Sequence[Turn] = ()) -> None:
        self._turns = list(turns)
        self._segments: list[dict[str, Any]] = []
        self._unsaved: dict[str, bytes] = {}

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> list[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | list[Turn]:
        return self._turns[index]

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._turns))

    def add(self, turn: Turn) -> None:
        """The conversation has one turn more."""
        self._turns.append(turn)

    def put(self, turn: Turn) -> None:
        """The turn in the place of the one of its run, which then went on; else at the end."""
        place = next((at for at, one in enumerate(self._turns) if one.run == turn.run), None)
        if place is None or turn.run is None:
            self._turns.append(turn)
            return
        self._turns[place] = turn
        if place < self._sealed:
            self._segments = self._segments[: place // SEGMENT]

    def frame(self) -> pd.DataFrame:
        """One row per turn: question, answer, status, run, error as strings, `at` in UTC."""
        import pandas as pd

        names = ["question", "answer", "status", "run", "error", "at"]
        frame = pd.DataFrame([asdict(turn) for turn in self._turns], columns=names).astype(
            dict.fromkeys(names[:-1], "string")
        )
        return frame.assign(at=pd.to_datetime(frame["at"], utc=True, format="ISO8601"))

    def state(self) -> dict[str, Any]:
        """As a manifest keeps them: which blobs, and the turns after those."""
        while len(self._turns) - self._sealed >= SEGMENT:
            full = self._turns[self._sealed : self._sealed + SEGMENT]
            data = json.dumps([asdict(turn) for turn in full], ensure_ascii=False).encode()
            digest = hashlib.sha256(data).hexdigest()
            self._unsaved[digest] = data
            self._segments.append({"sha256": digest, "count": len(full)})
        tail = [asdict(turn) for turn in self._turns[self._sealed :]]
        return {"segments": [dict(one) for one in self._segments], "tail": tail}

    def unsaved(self) -> dict[str, bytes]:
        """Blobs that `state` named and no save has written yet."""
        return dict(self._unsaved)

    def saved(self, digests: Sequence[str]) -> None:
        """These blobs are written."""
        for digest in digests:
            self._unsaved.pop(digest, None)

    @classmethod
    def from_state(cls, state: dict[str, Any], blob: Callable[[str], bytes]) -> Turns:
        """The turns of a `state`, whose blobs are read by `blob`."""
        told = [turn for segment in state["segments"] for turn in json.loads(blob(segment["sha256"]))]
        turns = cls([Turn(**turn) for turn in (*told, *state["tail"])])
        turns._segments = [dict(segment) for segment in state["segments"]]
        return turns

    def unseal(self) -> None:
        """Write all turns again with the next save, into a place that has none of their blobs."""
        self._segments, self._unsaved = [], {}

    @property
    def _sealed(self) -> int:
        return sum(segment["count"] for segment in self._segments)

    def __repr__(self) -> str:
        return f"Turns({len(self)})"


def turn_of(run: Run, end: RunEnd, effects: Sequence[str]) -> Turn:
    """The turn of a run that ends so; no text of it keeps a secret of the run."""
    clean = run.log.redactor.text
    answer = None if end.answer is None else clean(str(end.answer))
    error = None if end.error is None else clean(end.error)
    return Turn.ended(run.task, answer, end.status, run.id, error, effects)
