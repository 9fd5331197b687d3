"""Runs, their events, and the lease that makes sure of one writer."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import Delta, Event, RunStart, Usage, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.tree import Tree
from fleet_rlm.sessions.store import LeaseLost, NotFound, Scope, open_store
from fleet_rlm.sessions.store.columns import moment
from tests.sessions.store.logs import begun, call, end, notes
from tests.twins.postgres import Database


def start(log: RunLog) -> RunStart:
    first = log.events_since(0)[0]
    assert isinstance(first, RunStart)
    return first


def lines(events: list[Event]) -> list[bytes]:
    return [encode(event) for event in events]


def test_a_run_is_begun_once(mine: Scope) -> None:
    log = begun()
    first = mine.runs.begin(start(log))
    assert (first.status, first.task, first.last_seq) == ("running", "Which deploy broke checkout?", -1)
    assert mine.runs.begin(start(log)) == mine.runs.get("r1") == first
    assert mine.runs.list().total == 1


def test_a_run_of_a_session_that_is_not_there(mine: Scope, theirs: Scope) -> None:
    session = theirs.sessions.create("s")
    with pytest.raises(NotFound, match=f"session '{session.id}'"):
        mine.runs.begin(start(begun()), session_id=session.id)


def test_an_id_in_use_by_a_colleague_is_not_taken_over(mine: Scope, colleagues: Scope) -> None:
    mine.runs.begin(start(begun()))
    with pytest.raises(NotFound):
        colleagues.runs.begin(start(begun()))


def test_runs_are_listed_latest_first_by_what_they_belong_to(mine: Scope) -> None:
    session = mine.sessions.create("s")
    for number in range(3):
        log = RunLog(f"r{number}")
        log.emit(RunStart(task=f"task {number}", mode="agent", model="m", parent_run="r0" if number else None))
        mine.runs.begin(start(log), session_id=session.id if number == 2 else None)
    assert [run.id for run in mine.runs.list().items] == ["r2", "r1", "r0"]
    assert [run.id for run in mine.runs.list(session_id=session.id).items] == ["r2"]
    assert [run.id for run in mine.runs.list(parent_run="r0", limit=1).items] == ["r2"]
    assert [run.id for run in mine.runs.list(search="TASK 1").items] == ["r1"]
    assert mine.runs.list(status="ok").total == 0
    assert mine.runs.list(started_before=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)).total == 0


def test_events_come_back_as_they_were_written(mine: Scope) -> None:
    log = begun()
    log.emit(Delta(channel="stdout", text="nul \x00, umlaut ü, 𝒳 and a quote ' \\u0000"))
    call(log)
    end(log)
    mine.runs.begin(start(log))
    mine.events.append(mine.runs.lease("r1", "me"), log.events_since(0))
    assert lines(mine.events.since("r1")) == lines(log.events_since(0))
    assert lines(mine.events.since("r1", 2, limit=1)) == lines(log.events_since(2)[:1])
    assert mine.events.since("r1", 99) == []
    assert mine.events.last_seq("r1") == log.events_since(0)[-1].seq


def test_events_written_twice_are_there_once(mine: Scope) -> None:
    log = begun()
    notes(log, 5)
    mine.runs.begin(start(log))
    lease = mine.runs.lease("r1", "me")
    mine.events.append(lease, log.events_since(0)[:4])
    mine.events.append(lease, log.events_since(0))
    mine.events.append(lease, log.events_since(0)[:2])
    assert lines(mine.events.since("r1")) == lines(log.events_since(0))
    assert mine.events.last_seq("r1") == 5


def test_events_with_a_gap_are_refused(mine: Scope) -> None:
    log = begun()
    notes(log, 5)
    mine.runs.begin(start(log))
    lease = mine.runs.lease("r1", "me")
    mine.events.append(lease, log.events_since(0)[:2])
    for wrong in (log.events_since(3), log.events_since(2)[::2]):
        with pytest.raises(UserError, match=r"comes next|has no gap"):
            mine.events.append(lease, wrong)
    assert mine.events.last_seq("r1") == 1


def test_what_is_not_mine_cannot_be_read_or_written(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    log = begun()
    mine.runs.begin(start(log))
    lease = mine.runs.lease("r1", "me")
    mine.events.append(lease, log.events_since(0))
    for scope in (colleagues, theirs):
        assert scope.events.since("r1") == []
        assert scope.spans.list("r1").total == 0
        for attempt in (
            lambda scope=scope: scope.events.append(lease, log.events_since(0)),
            lambda scope=scope: scope.events.last_seq("r1"),
            lambda scope=scope: scope.runs.lease("r1", "thief", takeover=True),
            lambda scope=scope: scope.runs.delete("r1"),
            lambda scope=scope: scope.feedback.give("r1", "correct", False),
        ):
            with pytest.raises(NotFound):
                attempt()


def test_a_run_has_one_writer(mine: Scope) -> None:
    log = begun()
    mine.runs.begin(start(log))
    first = mine.runs.lease("r1", "first")
    with pytest.raises(LeaseLost, match="being written by first"):
        mine.runs.lease("r1", "second")
    mine.runs.release(first)
    second = mine.runs.lease("r1", "second")
    assert second.fence > first.fence
    with pytest.raises(LeaseLost, match="taken over by another writer"):
        mine.events.append(first, log.events_since(0))
    assert mine.events.since("r1") == []
    mine.events.append(second, log.events_since(0))


def test_a_lease_that_has_lapsed_is_anybodys_and_its_holder_finds_out(mine: Scope) -> None:
    log = begun()
    mine.runs.begin(start(log))
    asleep = mine.runs.lease("r1", "asleep", seconds=-1)
    mine.runs.renew(asleep, seconds=-1)  # nobody took it meanwhile
    awake = mine.runs.lease("r1", "awake")
    with pytest.raises(LeaseLost):
        mine.runs.renew(asleep)
    with pytest.raises(LeaseLost):
        mine.events.append(asleep, log.events_since(0))
    mine.runs.release(asleep)  # too late, and harmless
    mine.events.append(awake, log.events_since(0))


def test_who_knows_that_the_holder_is_gone_does_not_wait(mine: Scope) -> None:
    mine.runs.begin(start(begun()))
    mine.runs.lease("r1", "dead")
    assert mine.runs.lease("r1", "heir", takeover=True).fence == 2


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_spans_are_those_of_the_run_whatever_the_batches(mine: Scope, size: int) -> None:
    log = begun()
    with log.span("turn", "agent", input="q", attrs={"a": 1}) as turn:
        call(log, "first")
        with log.span("code", "cell", code="print(1)", deeper=True) as cell:
            cell.fail("ValueError", "no")
        call(log, "second")
        turn.attrs["b"] = 2
    end(log)
    events = log.events_since(0)
    mine.runs.begin(start(log))
    lease = mine.runs.lease("r1", "me")
    for first in range(0, len(events), size):
        mine.events.append(lease, events[first : first + size])
    nodes = Tree(events).spans.values()
    plain = ("id", "parent", "depth", "seq", "type", "name", "status", "input", "output", "code", "error_type", "error")
    for span, node in zip(mine.spans.list("r1").items, nodes, strict=True):
        assert [getattr(span, name) for name in plain] == [getattr(node, name) for name in plain]
        assert (span.started_at, span.ended_at) == (moment(node.start), moment(node.end or 0))
        usage = Usage(**{name: getattr(span, name) for name in Usage.__struct_fields__}) if node.usage else None
        assert (span.model, usage, span.attrs) == (node.attrs.get("model"), node.usage, node.attrs)
    assert [span.attrs for span in mine.spans.list("r1", type="turn").items] == [{"a": 1, "b": 2}]
    run = mine.runs.get("r1")
    assert (run.status, run.answer, run.llm_calls, run.tokens_in, run.cost_usd) == ("ok", {"deploy": 7}, 2, 6, 1.0)
    assert run.ended_at is not None


def test_a_figure_that_one_call_did_not_report_is_unknown_in_the_sum(mine: Scope) -> None:
    log = begun()
    call(log)
    with log.span("llm", "unknown") as span:
        span.usage = Usage(llm_calls=1, tokens_out=4)
    end(log)
    mine.runs.begin(start(log))
    mine.events.append(mine.runs.lease("r1", "me"), log.events_since(0))
    run = mine.runs.get("r1")
    assert (run.llm_calls, run.tokens_in, run.tokens_out, run.cost_usd) == (2, None, 5, None)


def test_a_run_that_goes_on_after_its_end_is_running_again(mine: Scope) -> None:
    log = begun()
    end(log)
    mine.runs.begin(start(log))
    lease = mine.runs.lease("r1", "me")
    mine.events.append(lease, log.events_since(0))
    assert mine.runs.get("r1").status == "ok"
    call(log)
    mine.events.append(lease, log.events_since(2))
    assert (mine.runs.get("r1").status, mine.runs.get("r1").ended_at) == ("running", None)
    mine.events.append(lease, log.events_since(0)[:2])  # a late retry of the end
    end(log)
    mine.events.append(lease, log.events_since(4))
    assert (mine.runs.get("r1").status, mine.runs.get("r1").llm_calls) == ("ok", 1)


def test_deleting_a_run_takes_its_record(mine: Scope) -> None:
    log = begun()
    call(log)
    mine.runs.begin(start(log))
    mine.events.append(mine.runs.lease("r1", "me"), log.events_since(0))
    mine.artifacts.add("r1", "a9", name="plot.png", mime="image/png", bytes=3, sha256="00", path="/tmp/plot.png")
    mine.runs.delete("r1")
    assert mine.events.since("r1") == []
    assert mine.spans.list().total == mine.artifacts.list().total == 0
    with pytest.raises(NotFound):
        mine.runs.get("r1")


def test_artifacts_of_the_log_and_of_others_are_kept(mine: Scope, tmp_path: Path) -> None:
    log = begun(directory=tmp_path / "r1")
    with log.span("code", "cell"):
        log.artifact("table.csv", "text/csv", b"a,b")
    mine.runs.begin(start(log))
    mine.events.append(mine.runs.lease("r1", "me"), log.events_since(0))
    for name in ("old", "new"):
        mine.artifacts.add(
            "r1", "v1", name=name, mime="text/plain", bytes=3, sha256="0", path="artifacts/x", provenance={"tool": "w"}
        )
    (volume, logged) = mine.artifacts.list("r1").items
    assert (volume.name, volume.provenance) == ("new", {"tool": "w"})
    assert (logged.name, logged.bytes, logged.provenance) == ("table.csv", 3, {"span": "s1"})
    assert mine.artifacts.get("r1", "a1") == logged
    with pytest.raises(NotFound):
        mine.artifacts.get("r1", "none")
    with pytest.raises(NotFound):
        mine.artifacts.add("none", "a", name="n", mime="text/plain", bytes=3, sha256="0", path="x")
    log.close()


def test_an_id_that_is_too_long_is_told(database: Database) -> None:
    store = open_store(database.app)
    with pytest.raises(UserError, match=r"does not fit the store: .* ids have 64 characters at most"):
        store.scoped().sessions.create("s", id="x" * 65)
    store.close()
