"""Turns: numbered without gaps whoever appends, and read quickly however many there are."""

from __future__ import annotations

import asyncio

import pytest

from fleet_rlm.sessions.store import NotFound, Scope


def test_turns_come_back_in_order(mine: Scope) -> None:
    mine.sessions.create("s")
    for number in range(3):
        mine.turns.append("s", f"question {number}", answer=f"answer {number}", run_id=f"r{number}")
    turns = mine.turns.list("s").items
    assert [(turn.index, turn.message, turn.answer) for turn in turns] == [
        (number, f"question {number}", f"answer {number}") for number in range(3)
    ]


def test_a_turn_may_be_answered_later(mine: Scope) -> None:
    mine.sessions.create("s")
    turn = mine.turns.append("s", "question", status="running")
    mine.turns.answer("s", turn.index, "answer")
    assert [(one.answer, one.status) for one in mine.turns.list("s").items] == [("answer", "ok")]
    with pytest.raises(NotFound, match="turn 's/7'"):
        mine.turns.answer("s", 7, "answer")


def test_turns_appended_at_once_get_different_numbers(mine: Scope) -> None:
    mine.sessions.create("s")

    async def all_at_once() -> None:
        await asyncio.gather(*(mine.turns.aappend("s", "question") for _ in range(10)))

    asyncio.run(all_at_once())
    assert [turn.index for turn in mine.turns.list("s").items] == list(range(10))


def test_turns_of_a_session_that_is_not_there(mine: Scope) -> None:
    with pytest.raises(NotFound):
        mine.turns.list("none")
    with pytest.raises(NotFound):
        mine.turns.append("none", "question")
