"""A run is a view over its log: live or read back, the same; and the handle that waits and stops."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import submit
from fleet_rlm.core.run import Isolation, Run

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.jsonl"))


def small_run(directory: Path | None = None) -> Run:
    """A finished run of one model call."""
    log = RunLog("r1", directory)
    run = Run(log)
    log.emit(ev.RunStart(task="why is it slow?", mode="direct", model="m", budget=ev.Limits(calls=5, depth=2)))
    with log.span("turn", "direct"), log.span("llm", "direct", attrs={"model": "m"}) as span:
        span.usage = ev.Usage(llm_calls=1, tokens_in=10, tokens_out=2, tokens_cached=0)
    log.emit(ev.BudgetChange(spent=ev.Limits(calls=1, tokens=12), remaining=ev.Limits(calls=4)))
    log.emit(ev.RunEnd(status="ok", answer="because"))
    return run


def test_a_run_shows_what_its_log_tells() -> None:
    run = small_run()
    assert (run.id, run.task, run.status, run.answer, run.error, run.offline) == (
        "r1",
        "why is it slow?",
        "ok",
        "because",
        None,
        False,
    )
    assert run.usage == ev.Usage(llm_calls=1, tokens_in=10, tokens_out=2, tokens_cached=0)
    assert (run.budget.spent.calls, run.budget.remaining.calls) == (1, 4)
    assert run.isolation is None
    assert run.artifacts == []
    assert [event.seq for event in run.events(since=5)] == [5, 6]
    assert list(run.spans()["name"]) == ["direct", "direct"]


def test_a_run_that_has_only_begun_says_so() -> None:
    log = RunLog("r1")
    run = Run(log)
    assert (run.task, run.status, run.answer, run.error) == ("", "running", None, None)
    log.emit(ev.RunStart(task="why?", mode="auto", model="m", budget=ev.Limits(calls=5)))
    assert (run.task, run.status) == ("why?", "running")
    assert (run.budget.spent.calls, run.budget.remaining.calls) == (0, 5)


def test_what_protected_the_user_is_told() -> None:
    log = RunLog("r1")
    run = Run(log)
    log.emit(
        ev.SandboxState(
            state="started", backend="local", tier="confined", guarantees={"network": "seccomp"}, missing=["pids"]
        )
    )
    assert run.isolation == Isolation("local", "confined", {"network": "seccomp"}, ("pids",))


def test_its_repr_is_one_exact_line() -> None:
    run = small_run()
    assert repr(run) == "Run('why is it slow?', status='ok', spans=2, llm_calls=1)"


def test_artifacts_are_listed_in_order(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    run = Run(log)
    log.artifact("b.csv", "text/csv", b"1")
    log.artifact("a.csv", "text/csv", b"2")
    assert [artifact.name for artifact in run.artifacts] == ["b.csv", "a.csv"]


@pytest.mark.parametrize("path", [path for path in GOLDEN if path.stem != "later"], ids=lambda path: path.stem)
def test_a_run_read_back_is_the_same_run(path: Path, tmp_path: Path) -> None:
    run = Run.from_jsonl(path)
    again = Run.from_jsonl(run.to_jsonl(tmp_path / "again.jsonl"))
    assert again.tree.canonical() == run.tree.canonical()
    assert again.events() == run.events()
    assert repr(again) == repr(run)
    pd.testing.assert_frame_equal(again.spans(), run.spans())


def test_a_live_run_and_its_spool_are_the_same_run(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    assert Run.from_jsonl(tmp_path / "events.jsonl").tree.canonical() == run.tree.canonical()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the log holds no event"),
        (b"not a log\n", "line 1 is not a fleet-rlm event"),
        (b'{"kind":"note","v":9,"run":"r","seq":0,"ts":0}\n', "event version 9 is not known"),
    ],
)
def test_a_file_that_is_no_log_is_told_by_its_path(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told) as refused:
        Run.from_jsonl(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        Run.from_jsonl(tmp_path / "nothing.jsonl")


def test_spans_are_written_as_parquet(tmp_path: Path) -> None:
    run = small_run()
    pd.testing.assert_frame_equal(pd.read_parquet(run.to_parquet(tmp_path / "spans.parquet")), run.spans())


def test_a_report_is_a_page_of_its_own(tmp_path: Path) -> None:
    page = small_run().to_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "why is it slow?" in page
    assert "because" in page


def test_it_shows_itself_in_a_notebook() -> None:
    shown = small_run()._repr_mimebundle_()
    assert {"text/html", "text/plain"} <= shown.keys()
    assert "because" in shown["text/plain"]


class Task:
    """Work behind a run: waits to be let on, and can be stopped."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.run = Run(RunLog("r1"))
        self.began = threading.Event()
        self._let_on = asyncio.Event()
        self._error = error
        self._task: list[asyncio.Task[Any]] = []
        self.run.attach(submit(self._work()), lambda: submit(self._cancel()))

    async def _work(self) -> None:
        self._task.append(asyncio.current_task())  # type: ignore[arg-type]
        self.began.set()
        try:
            await self._let_on.wait()
            if self._error:
                raise self._error
            self.run.log.emit(ev.RunEnd(status="ok", answer=42))
        except asyncio.CancelledError:
            self.run.log.emit(ev.RunEnd(status="stopped"))
            raise FleetError("it was stopped") from None

    async def _cancel(self) -> None:
        self._task[0].cancel()

    def let_on(self) -> None:
        async def let() -> None:
            self._let_on.set()

        submit(let())


def test_waiting_gives_the_run_when_it_has_ended() -> None:
    task = Task()
    task.let_on()
    assert task.run.wait(10) is task.run
    assert task.run.answer == 42
    assert task.run.wait() is task.run


def test_waiting_too_long_says_the_run_goes_on_and_leaves_it_alone() -> None:
    task = Task()
    with pytest.raises(TimeoutError, match=r"run r1 is still running after 0\.01 s"):
        task.run.wait(0.01)
    task.let_on()
    assert task.run.wait(10).answer == 42


def test_waiting_raises_what_ended_the_run() -> None:
    task = Task(FleetError("no key"))
    task.let_on()
    with pytest.raises(FleetError, match="no key"):
        task.run.wait(10)


def test_a_timeout_inside_the_run_is_not_taken_for_impatience() -> None:
    task = Task(TimeoutError("the model did not answer"))
    task.let_on()
    with pytest.raises(TimeoutError, match="the model did not answer"):
        task.run.wait(10)


def test_stopping_ends_it_from_any_thread_and_keeps_the_trace() -> None:
    task = Task()
    task.began.wait(10)
    stopping = threading.Thread(target=task.run.stop)
    stopping.start()
    with pytest.raises(FleetError, match="it was stopped"):
        task.run.wait(10)
    stopping.join()
    assert task.run.status == "stopped"


def test_a_run_can_be_awaited_on_any_loop() -> None:
    async def waited(task: Task) -> Run:
        task.let_on()
        return await task.run

    task = Task()
    assert asyncio.run(waited(task)) is task.run


def test_ceasing_to_await_does_not_end_the_run() -> None:
    async def impatient(task: Task) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.run._finished(), 0.01)

    task = Task()
    asyncio.run(impatient(task))
    assert task.run.status == "running"
    task.let_on()
    assert task.run.wait(10).status == "ok"


def test_a_run_read_from_a_file_has_nothing_to_wait_for_or_stop() -> None:
    async def awaited(run: Run) -> Run:
        return await run

    run = Run.from_jsonl(GOLDEN[0])
    run.stop()
    assert run.wait() is run
    assert asyncio.run(awaited(run)) is run


def test_many_can_wait_at_once() -> None:
    task = Task()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(task.run.wait, 10) for _ in range(8)]
        task.let_on()
        assert all(future.result(10) is task.run for future in waiting)


def test_whoever_leaves_before_a_run_has_failed_is_not_sent_its_traceback() -> None:
    heard: list[str] = []

    async def leave() -> None:
        run, end = Run(RunLog("r-left")), concurrent.futures.Future[Any]()
        run.attach(end, lambda: None)
        waiting = asyncio.ensure_future(run)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        end.set_exception(FleetError("the run was stopped"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def told() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["message"]))
        await leave()
        gc.collect()

    asyncio.run(told())
    assert heard == []
