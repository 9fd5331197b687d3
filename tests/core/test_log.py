"""The log: gap-free, redacted, told to every subscriber, and the same on disk as in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import BudgetExhausted
from fleet_rlm.core.log import MAX_VALUE, RunLog, current_span
from fleet_rlm.core.redaction import Redactor


def note(text: str = "hi") -> ev.Note:
    return ev.Note(level="info", text=text)


def spooled(directory: Path) -> list[ev.Event]:
    return [ev.decode(line) for line in (directory / "events.jsonl").read_bytes().splitlines()]


def ended(log: RunLog) -> list[ev.SpanEnd]:
    return [event for event in log.events_since(0) if isinstance(event, ev.SpanEnd)]


def begun(log: RunLog) -> list[ev.SpanStart]:
    return [event for event in log.events_since(0) if isinstance(event, ev.SpanStart)]


def test_events_are_numbered_stamped_and_named_by_the_log() -> None:
    log = RunLog("r1")
    events = [log.emit(note()) for _ in range(3)]
    assert [(event.run, event.seq) for event in events] == [("r1", 0), ("r1", 1), ("r1", 2)]
    assert 1_700_000_000_000_000 < events[0].ts <= events[2].ts
    assert log.events_since(1) == events[1:]
    assert len(log) == 3


def test_from_many_threads_no_number_is_missing_or_twice_and_all_see_the_same_order(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    seen: list[int] = []
    log.subscribe(lambda event: seen.append(event.seq))
    together = threading.Barrier(16)

    def write(who: int) -> None:
        together.wait(10)
        for _ in range(50):
            log.emit(note(f"from {who}"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    assert seen == list(range(800))
    assert spooled(tmp_path) == log.events_since(0)


def test_a_subscriber_gets_what_came_before_and_after_without_a_gap_until_it_leaves() -> None:
    log = RunLog("r1")
    log.emit(note())
    log.emit(note())
    all_of_it: list[int] = []
    from_now: list[int] = []
    leave = log.subscribe(lambda event: all_of_it.append(event.seq), since=0)
    log.subscribe(lambda event: from_now.append(event.seq))
    log.emit(note())
    leave()
    leave()
    log.emit(note())
    assert all_of_it == [0, 1, 2]
    assert from_now == [2, 3]


def test_a_subscriber_may_leave_while_it_is_told() -> None:
    log = RunLog("r1")
    told: list[int] = []

    def once(event: ev.Event) -> None:
        told.append(event.seq)
        leave()

    leave = log.subscribe(once)
    log.subscribe(lambda event: told.append(event.seq))
    log.emit(note())
    log.emit(note())
    assert told == [0, 0, 1]


def test_secrets_are_gone_before_anybody_sees_them(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path, Redactor(["s3cret-value"], environ={}))
    seen: list[ev.Event] = []
    log.subscribe(seen.append)
    log.emit(note("it is s3cret-value"))
    with log.span("code", "cell", code="x = 's3cret-value'") as span:
        span.output = "s3cret-value"
        span.attrs["k"] = "s3cret-value"
    assert b"s3cret-value" not in (tmp_path / "events.jsonl").read_bytes()
    assert "s3cret-value" not in repr(seen + log.events_since(0))


def test_spans_nest_in_the_calling_context() -> None:
    log = RunLog("r1")
    with log.span("turn", "t") as turn:
        assert current_span() is turn
        with log.span("rlm", "r", deeper=True) as rlm, log.span("iteration", "i"):
            log.emit(note())
        assert current_span() is turn
    assert current_span() is None
    assert [(event.span, event.parent, event.depth) for event in begun(log)] == [
        ("s1", None, 0),
        ("s2", "s1", 1),
        ("s3", "s2", 1),
    ]
    assert [event.span for event in log.events_since(0) if isinstance(event, ev.Note)] == ["s3"]
    assert rlm.depth == 1


def test_spans_of_concurrent_tasks_do_not_mix() -> None:
    log = RunLog("r1")

    async def child(name: str) -> None:
        with log.span("rlm", name):
            await asyncio.sleep(0)
            with log.span("code", name):
                await asyncio.sleep(0)

    async def main() -> None:
        with log.span("turn", "t"):
            await asyncio.gather(*(child(f"child {n}") for n in range(8)))

    asyncio.run(main())
    by_id = {event.span: event for event in begun(log)}
    codes = [event for event in by_id.values() if event.type == "code"]
    assert len(codes) == 8
    assert all(by_id[code.parent].name == code.name for code in codes)


def test_a_span_of_another_log_is_no_parent() -> None:
    one, two = RunLog("r1"), RunLog("r2")
    with one.span("turn", "outer"), two.span("turn", "inner"):
        two.emit(note())
        one.emit(note())
    assert begun(two)[0].parent is None
    assert [event.span for event in two.events_since(0) if isinstance(event, ev.Note)] == ["s1"]
    assert [event.span for event in one.events_since(0) if isinstance(event, ev.Note)] == [None]


def test_a_span_tells_what_it_yielded() -> None:
    log = RunLog("r1")
    with log.span("llm", "decide", input="[user]\nhi", attrs={"model": "m"}) as span:
        span.output, span.usage = "hello", ev.Usage(llm_calls=1, tokens_in=3)
        span.attrs["cached"] = False
    (end,) = ended(log)
    assert (end.status, end.output, end.usage) == ("ok", "hello", ev.Usage(llm_calls=1, tokens_in=3))
    assert (begun(log)[0].input, begun(log)[0].attrs, end.attrs) == ("[user]\nhi", {"model": "m"}, {"cached": False})


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ValueError("bad"), "error", "bad"),
        (ValueError(), "error", "ValueError"),
        (BudgetExhausted("calls", "no calls are left"), "exhausted", "no calls are left"),
        (asyncio.CancelledError(), "stopped", "CancelledError"),
        (KeyboardInterrupt(), "stopped", "KeyboardInterrupt"),
    ],
)
def test_an_exception_ends_a_span_with_its_status_and_passes_on(error: BaseException, status: str, told: str) -> None:
    log = RunLog("r1")
    with pytest.raises(type(error)) as raised, log.span("code", "cell"):
        raise error
    assert raised.value is error
    (end,) = ended(log)
    assert (end.status, end.error_type, end.error) == (status, type(error).__name__, told)


def test_a_span_can_fail_without_raising() -> None:
    log = RunLog("r1")
    with log.span("code", "cell") as span:
        span.output = "printed before"
        span.fail("ZeroDivisionError", "division by zero")
    (end,) = ended(log)
    assert (end.status, end.error_type, end.output) == ("error", "ZeroDivisionError", "printed before")


def test_what_is_too_long_is_kept_whole_beside_the_log(tmp_path: Path) -> None:
    text = "start " + "x" * MAX_VALUE + " end"
    log = RunLog("r1", tmp_path)
    with log.span("code", "cell") as span:
        span.output = text
    (end,) = ended(log)
    (kept,) = (event for event in log.events_since(0) if isinstance(event, ev.Artifact))
    assert end.output is not None
    assert len(end.output) < 3000
    assert end.output.startswith("start xxx")
    assert end.output.endswith("xxx end")
    assert f"{len(text):,} characters; whole in artifact {kept.id}" in end.output
    assert Path(kept.path).read_text() == text
    assert (kept.bytes, kept.span, kept.seq) == (len(text), None, end.seq - 1)
    assert spooled(tmp_path) == log.events_since(0)


def test_what_just_fits_stays_in_its_event(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    event = log.emit(ev.Delta(channel="stdout", text="x" * MAX_VALUE))
    assert isinstance(event, ev.Delta)
    assert len(event.text) == MAX_VALUE


def test_without_a_directory_everything_stays_in_memory() -> None:
    log = RunLog("r1")
    event = log.emit(ev.Delta(channel="stdout", text="x" * MAX_VALUE * 2))
    assert isinstance(event, ev.Delta)
    assert len(event.text) == MAX_VALUE * 2
    assert log.artifact("x.csv", "text/csv", b"a,b") is None


def test_an_artifact_is_kept_by_a_safe_name_and_told(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    with log.span("code", "cell"):
        one = log.artifact("../../etc/plot.png", "image/png", b"\x89PNG")
        two = log.artifact("plot.png", "image/png", b"\x89PNG")
    assert one is not None
    assert two is not None
    assert Path(one.path).parent == Path(two.path).parent == tmp_path / "artifacts"
    assert Path(one.path) != Path(two.path)
    assert Path(one.path).read_bytes() == b"\x89PNG"
    told = [event for event in log.events_since(0) if isinstance(event, ev.Artifact)]
    assert [(event.name, event.bytes, event.span) for event in told] == [
        ("../../etc/plot.png", 4, "s1"),
        ("plot.png", 4, "s1"),
    ]


def test_after_closing_nothing_more_is_written_to_disk(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    log.emit(note())
    log.close()
    log.close()
    log.emit(note())
    assert len(spooled(tmp_path)) == 1
    assert len(log) == 2


def test_every_event_is_on_disk_as_soon_as_it_is_accepted(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    for count in range(1, 4):
        log.emit(note())
        assert len(spooled(tmp_path)) == count


@pytest.mark.parametrize(
    "event",
    [
        note(),
        note("the key is s3cret-value"),
        ev.Note(level="info", text="half a letter: \ud83d"),
        ev.SpanEnd(span="s1", status="ok", output="x" * (MAX_VALUE + 1)),
        ev.SpanEnd(span="s1", status="ok", output="s3cret-value" + "x" * MAX_VALUE),
        ev.Delta(span="s1", channel="stdout", text="s3cret-value\n"),
        ev.BudgetChange(spent=ev.Limits(calls=1), remaining=ev.Limits(calls=2)),
    ],
)
def test_the_line_on_disk_is_the_event_that_all_are_told(tmp_path: Path, event: ev.Event) -> None:
    log = RunLog("r1", tmp_path, Redactor(["s3cret-value"], environ={}))
    told: list[ev.Event] = []
    log.subscribe(told.append)
    accepted = log.emit(event)
    assert told[-1] == accepted
    assert (tmp_path / "events.jsonl").read_bytes().splitlines() == [ev.encode(one) for one in log.events_since(0)]
    assert [one.seq for one in spooled(tmp_path)] == list(range(len(log)))
    assert "s3cret" not in (tmp_path / "events.jsonl").read_text()


def test_what_spans_print_side_by_side_does_not_mix() -> None:
    log = RunLog("r1", redactor=Redactor(["s3cret-value"], environ={}))

    def printed(text: str) -> str:
        return log.emit(ev.Delta(channel="stdout", text=text)).text  # type: ignore[attr-defined, no-any-return]

    with log.span("code", "one"):
        assert printed("begins: s3cret") == "begins: "
        with log.span("code", "another"):
            assert printed("-value, of its own") == "-value, of its own"
        assert printed("-value") == "[redacted]"


def test_a_run_named_like_a_secret_stays_one_run(tmp_path: Path) -> None:
    log = RunLog("run-s3cret-value", tmp_path, Redactor(["s3cret-value"], environ={}))
    assert [log.emit(note()).run, log.emit(note("s3cret-value")).run] == ["run-s3cret-value"] * 2


def test_what_was_written_can_be_read_back(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    with log.span("turn", "t"):
        log.emit(note("é 漢字 \ud800"))
    read = RunLog.read(iter((tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)))
    assert read.run == "r1"
    assert read.events_since(0) == log.events_since(0)


def lines(*numbers: int) -> list[bytes]:
    return [ev.encode(ev.Note(run="r1", seq=seq, level="info", text="")) + b"\n" for seq in numbers]


SPANLESS = (
    ev.encode(ev.SpanStart(run="r1", seq=1, span="s1", type="code", name="cell")).replace(b'"span":', b'"spaN":')
    + b"\n"
)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ([], "the log holds no event"),
        ([b"\n", b"  \n"], "the log holds no event"),
        (lines(0, 1, 3), "line 3 has seq 3 where 2 was due; events are lost"),
        (lines(1), "line 1 has seq 1 where 0 was due"),
        ([*lines(0), b"{oops\n"], "line 2 is not a fleet-rlm event"),
        ([b'{"a": 1}\n'], "line 1 is not a fleet-rlm event"),
        ([*lines(0), SPANLESS], "line 2 is not a fleet-rlm event: Object missing required field `span`"),
    ],
)
def test_a_log_that_is_none_is_refused_by_line(log: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RunLog.read(iter(log))


def test_a_log_cut_in_its_last_line_is_read_up_to_there(tmp_path: Path) -> None:
    log = RunLog("r", tmp_path)
    for text in ("one", "two"):
        log.emit(ev.Note(level="info", text=text))
    log.close()
    spool = tmp_path / "events.jsonl"
    lines = [*spool.read_bytes().splitlines(keepends=True)[:1], b'{"kind":"note","v":1,"ru']
    assert [event.text for event in RunLog.read(iter(lines)).events_since(0)] == ["one"]  # type: ignore[attr-defined]


def test_a_clock_that_jumps_makes_no_span_end_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, now = RunLog("r-jump", tmp_path / "r-jump"), time.time_ns
    log.emit(ev.RunStart(task="?", model="m", mode="agent"))
    with log.span("turn", "agent"):
        monkeypatch.setattr(time, "time_ns", lambda: now() - 3_600 * 10**9)
        with log.span("step", "one"):
            pass
    log.close()
    again = RunLog.reopen(tmp_path / "r-jump")
    again.emit(ev.Note(level="info", text="later"))
    again.close()
    stamps = [event.ts for event in again.events_since(0)]
    assert stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] < 60 * 10**6
