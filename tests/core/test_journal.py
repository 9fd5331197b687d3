"""The journal: what is recorded is found by its place, and given once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.journal import Edit, Journal, NotRecorded, digest, rebuilding
from fleet_rlm.core.log import MAX_VALUE, RunLog
from tests.core.recorded import START, call, journal, recorded, span


def test_the_steps_of_a_loop_are_found_by_their_order_and_given_once() -> None:
    log = recorded()
    found = journal(log)
    turn = found.take(None, "turn", "agent")
    assert turn is not None
    steps = [found.take(turn.node.id, "step", f"step {n}") for n in (1, 2, 3, 1)]
    assert [None if step is None else step.node.name for step in steps] == ["step 1", "step 2", None, None]


def test_queries_are_found_by_what_is_asked_and_equal_ones_by_their_order() -> None:
    log = RunLog("r1")
    with log.span("code", "sandbox-1"):
        for key, reply in (("a", "1"), ("b", "2"), ("a", "3")):
            call(log, key=key, reply=reply)
    found = journal(log)
    assert [found.take("s1", "llm", "query", key) for key in ("c", "d")] == [None, None]
    given = [found.take("s1", "llm", "query", key) for key in ("b", "a", "a", "a")]
    assert [one and one.output for one in given] == ["2", "1", "3", None]


def test_a_call_without_a_reply_is_not_told_but_when_a_cell_is_rebuilt() -> None:
    log = RunLog("r1")
    with log.span("code", "sandbox-1"):
        call(log, key="a", reply=None)
    assert journal(log).take("s1", "llm", "query", "a") is None
    again = journal(log).take("s1", "llm", "query", "a", rebuilding=True)
    assert again is not None
    assert again.node.error == "refused"


def test_a_rebuilt_cell_that_asks_otherwise_is_told_what_it_was_told_at_that_point() -> None:
    found = journal(recorded())
    given = [found.take(_code(found), "llm", "query", key, rebuilding=True) for key in ("x", "y", "z")]
    assert [one and one.output for one in given] == ["A", "B", None]


def _code(found: Journal) -> str:
    return next(node.id for node in found.tree.spans.values() if node.type == "code")


def test_cells_of_another_sandbox_are_the_same_cells() -> None:
    found = journal(recorded())
    tool = next(node.id for node in found.tree.spans.values() if node.type == "tool")
    assert found.take(tool, "code", "another-sandbox") is not None


def test_where_a_loop_goes_another_way_nothing_more_of_it_is_told() -> None:
    log = recorded()
    found = journal(log)
    turn = span(log, "turn")
    assert found.take(turn, "step", "step 1") is not None
    found.diverge(turn)
    assert found.take(turn, "step", "step 2") is None


def test_what_runs_side_by_side_does_not_diverge() -> None:
    log = recorded()
    found = journal(log)
    code = span(log, "code")
    found.diverge(code)
    assert found.take(code, "llm", "query", "b") is not None


@pytest.mark.parametrize(
    ("type", "status", "error_type", "settled"),
    [
        ("code", "ok", None, True),
        ("code", "error", "ValueError", True),
        ("code", "error", "ModelError", False),
        ("code", "stopped", "CancelledError", False),
        ("tool", "ok", None, True),
        ("tool", "error", "UserError", True),
        ("tool", "error", "ModelError", False),
        ("tool", "exhausted", "BudgetExhausted", True),
        ("rlm", "ok", None, True),
        ("rlm", "error", "ChildFailed", False),
        ("llm", "ok", None, True),
        ("llm", "error", "ModelError", False),
        ("llm", "error", "ContextWindowExceededError", True),
        ("step", "ok", None, False),
    ],
)
def test_settled_is_what_is_known_and_was_acted_upon(type: Any, status: Any, error_type: Any, settled: bool) -> None:
    log = RunLog("r1")
    with log.span("tool" if type == "llm" else "turn", "x"), log.span(type, "y") as one:
        one.output = "out"
        if error_type:
            one.fail(error_type, "why", status)
    record = journal(log).take("s1", type, "y")
    if record is None:
        assert not settled
    else:
        assert record.is_settled == settled


def test_a_cell_whose_model_failed_is_settled_once_the_run_went_on_after_it() -> None:
    log = RunLog("r1")
    with log.span("rlm", "r"):
        for number in (1, 2):
            with log.span("iteration", str(number)), log.span("code", "sandbox-1") as code:
                code.fail("ModelError", "no network")
    found = journal(log)
    first, second = (found.take(span(log, "iteration", nth), "code", "") for nth in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.is_settled, second.is_settled) == (True, False)


def test_what_a_limit_ended_early_goes_on_only_when_there_is_more() -> None:
    log = RunLog("r1")
    with log.span("turn", "t"), log.span("rlm", "r") as rlm:
        rlm.output, rlm.attrs["finished_early"] = "partly", "budget: 0 of 5 model calls are left"
    for more in (False, True):
        found = journal(log)
        found.has_more = more
        record = found.take("s1", "rlm", "r")
        assert record is not None
        assert record.is_settled is not more
        assert [node.type for node in found.reopen()] == (["turn", "rlm"] if more else ["turn"])


def test_what_goes_on_is_all_above_what_was_cut_off_and_nothing_that_is_told_as_a_whole() -> None:
    log = RunLog("r1")

    def stopped() -> None:
        with log.span("turn", "t"):
            with log.span("step", "step 1"), log.span("code", "c") as done:
                done.output = "x"
                with log.span("rlm", "child") as child:
                    child.fail("ChildFailed", "no")
            with log.span("step", "step 2"), log.span("code", "c"), log.span("rlm", "child"):
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        stopped()
    assert [(node.type, node.name) for node in journal(log).reopen()] == [
        ("turn", "t"),
        ("step", "step 2"),
        ("code", "c"),
        ("rlm", "child"),
    ]


def test_a_long_text_is_read_from_its_artifact_and_known_to_be_gone_when_it_is(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    text = "é\ud800 " * MAX_VALUE
    with log.span("tool", "t"):
        call(log, "a", reply=text.replace("\ud800", "?"))
    found = journal(log, directory=tmp_path)
    record = found.take("s1", "llm", "a")
    assert record is not None
    assert record.output == text.replace("\ud800", "?")
    next((tmp_path / "artifacts").iterdir()).unlink()
    assert journal(log, directory=tmp_path).take("s1", "llm", "a") is None
    log.close()


def test_thoughts_and_notes_are_written_once_and_new_ones_are_written(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    log.emit(START)
    with log.span("turn", "agent"):
        log.emit(ev.Note(level="info", text="one"))
        log.emit(ev.Delta(channel="thought", text="hm"))
    log.close()
    again = RunLog.reopen(tmp_path)
    with again.span("turn", "agent"):
        for text in ("one", "one", "two"):
            again.emit(ev.Note(level="info", text=text))
        again.emit(ev.Delta(channel="thought", text="hm"))
    assert [note.text for note in again.events_since(0) if isinstance(note, ev.Note)] == ["one", "one", "two"]
    assert sum(isinstance(event, ev.Delta) for event in again.events_since(0)) == 1
    again.close()


def test_nothing_new_is_begun_while_a_cell_is_rebuilt(tmp_path: Path) -> None:
    recorded(tmp_path).close()
    log = RunLog.reopen(tmp_path)
    before = len(log)
    with rebuilding("s5"):
        log.emit(ev.Note(level="info", text="not said"))
        with pytest.raises(NotRecorded, match="nothing is paid twice"), log.span("llm", "query"):
            pass
    assert len(log) == before
    log.close()


def test_a_log_that_was_reopened_numbers_spans_and_artifacts_on(tmp_path: Path) -> None:
    log = recorded(tmp_path)
    first = log.artifact("a.txt", "text/plain", b"1")
    log.close()
    again = RunLog.reopen(tmp_path)
    with again.span("rlm", "new") as new:
        second = again.artifact("a.txt", "text/plain", b"2")
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("a1", "a2")
    assert new.id == f"s{len([e for e in log.events_since(0) if isinstance(e, ev.SpanStart)]) + 1}"
    again.close()


def test_equal_questions_have_one_digest_in_every_process() -> None:
    told = digest("what?", {"b": 1, "a": [2]})
    code = "from fleet_rlm.core.journal import digest\nprint(digest('what?', {'b': 1, 'a': [2]}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told
    assert len({told, digest("what?"), digest("what", "?"), digest("what?", None)}) == 4


def test_a_change_is_made_once_at_its_place_and_nowhere_else() -> None:
    edit = Edit("s1", "llm", "query", "b", reply="other")
    found = Journal([], edit=edit)
    places = [("s1", "llm", "query", "a"), ("s2", "llm", "query", "b"), ("s1", "code", "", None)]
    assert [found.edit(*place) for place in places] == [None, None, None]  # type: ignore[arg-type]
    assert found.edit("s1", "llm", "query", "b") is edit
    assert found.is_unchanged
    found.edited()
    assert not found.is_unchanged
    assert found.edit("s1", "llm", "query", "b") is None
