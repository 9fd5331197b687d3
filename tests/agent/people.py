"""A person beside a run: waits until it asks, and decides."""

from __future__ import annotations

import queue
from typing import Any

import fleet_rlm as fleet
from fleet_rlm.core.events import ApprovalAsk, Event, RunEnd
from fleet_rlm.core.tree import Ask


def until_asked(run: fleet.Run, number: int = 1) -> list[Ask]:
    """What the run waits for, once it waits for so many things."""
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = run.log.subscribe(told.put, since=0)
    while len(run.asks) < number:
        event = told.get(timeout=30)
        assert not isinstance(event, RunEnd) or event.seq < len(run.log) - 1, event
    stop()
    return run.asks


def decided(run: fleet.Run, *answers: str | tuple[str, str]) -> list[str]:
    """Answer what the run asks, one after the other, and wait for its end; what it asked."""
    questions = []
    for answer in answers:
        (asked,) = until_asked(run)
        questions.append(asked.question)
        word, note = answer if isinstance(answer, tuple) else (answer, None)
        run.approve(word, note=note)
    run.wait(60)
    return questions


def asks(run: fleet.Run) -> list[Any]:
    """All questions of its log."""
    return [event.question for event in run.events() if isinstance(event, ApprovalAsk)]
