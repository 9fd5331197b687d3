"""Whatever the data or the generated code is like: one clear sentence or a graceful answer, and the trace is kept."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ContextError
from tests.twins.lm_server import LMServer
from tests.twins.scripts import answer, by_role, rlm_action

BIG = "some data\n" * 10_000


@contextmanager
def coded(*cells: str) -> Iterator[tuple[LMServer, str]]:
    """A model that writes these cells one after the other."""
    with LMServer(
        by_role(rlm_action=[rlm_action("next", cell) for cell in cells], direct=answer(answer="ok"))
    ) as server:
        yield server, f"m@{server.base_url}"


def test_a_value_that_cannot_be_sent_is_named_before_any_model_call() -> None:
    with coded() as (server, lm), pytest.raises(ContextError, match=r"'lock'.*cannot be sent") as caught:
        fleet.run("What?", context={"lock": threading.Lock(), "text": BIG}, lm=lm, mode="rlm_only")
    assert server.calls == 0
    assert caught.value.run.status == "failed"


def test_lone_surrogates_and_nul_bytes_survive_and_are_answered_over() -> None:
    data = "start\ud800\x00end" + BIG
    with coded("print(repr(context[5:7]), context[:9])", "SUBMIT(answer=len(context))") as (_, lm):
        run = fleet.run("How long?", context=data, lm=lm, mode="rlm_only")
    assert run.answer == str(len(data))
    assert r"'\ud800\x00'" in next(span.output or "" for span in run.tree.spans.values() if span.type == "code")


def test_small_data_with_lone_surrogates_is_answered_directly() -> None:
    with coded() as (_, lm):
        assert fleet.run("What \udfff?", context="a\ud800b\x00c", lm=lm).answer == "ok"


def test_a_gigabyte_is_answered_over_without_a_second_copy_in_this_process() -> None:
    data = "0123456789abcde\n" * (1 << 26)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with coded("SUBMIT(answer=context.count('a') + len(context))") as (_, lm):
        run = fleet.run("How many?", context=data, lm=lm, mode="rlm_only")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert run.answer == str((1 << 26) + (1 << 30))
    assert grown < 1.2 * 1024, f"{grown:.0f} MiB more in this process"


def test_code_that_prints_a_gigabyte_is_cut_and_the_run_goes_on() -> None:
    loud = "for _ in range(1024): print('x' * (1 << 20))"
    with coded(loud, "SUBMIT(answer='done')") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "done"
    assert len(server.requests[1].text) < 60_000


def test_code_that_fills_memory_is_told_so_and_the_run_goes_on() -> None:
    # Written memory first, then zeros that nothing has touched: the wall counts both, and writing 8 GB takes long.
    greedy = "hoard = [bytearray(1 << 28)]\nwhile True: hoard.append(bytes(1 << 28))"
    with coded(greedy, "hoard = None\nSUBMIT(answer='done')") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "done"
    assert "MemoryError" in server.requests[1].text


def test_code_that_forks_without_end_is_stopped_and_told_and_the_run_goes_on() -> None:
    bomb = "import os\nwhile True:\n    os.fork()"
    with coded(bomb, "SUBMIT(answer='done')") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only", cell_timeout=20)
    assert (run.answer, server.calls) == ("done", 2)
    assert "processes" in server.requests[1].text


KILLS = ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]


@pytest.mark.parametrize("kill", KILLS)
def test_code_that_kills_its_sandbox_goes_on_with_the_variables_from_before(kill: str) -> None:
    made = "made = (i for i in range(9))\nopen('notes', 'w').write('kept')"
    end = "SUBMIT(answer=[len(context), next(made), open('notes').read(), 'lost' in globals()])"
    with coded(made, f"lost = 1\n{kill}", end) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == str([len(BIG), 0, "kept", False])
    assert "your variables are as they were before this cell" in server.requests[2].text


@pytest.mark.parametrize("kill", KILLS)
def test_code_that_kills_its_sandbox_at_once_goes_on_in_a_new_one_with_its_inputs(kill: str) -> None:
    with coded(f"made = 1\n{kill}", "SUBMIT(answer=[len(context), 'made' in globals()])") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == str([len(BIG), False])
    assert "what your code had made is lost" in server.requests[1].text


def test_a_checkpoint_that_threads_made_impossible_is_told_with_its_age() -> None:
    threads = (
        "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()\nx = 2"
    )
    with coded("x = 1", threads, "import os; os._exit(3)", "SUBMIT(answer=x)") as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer == "1"
    assert "as they were before the last 2 cells" in server.requests[3].text


def test_code_that_kills_its_checkpoint_too_goes_on_in_a_new_one() -> None:
    massacre = "import os, signal\nos.kill(-1, signal.SIGKILL)\nos._exit(3)"
    with coded("made = 1", massacre, "SUBMIT(answer='made' in globals())") as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert run.answer in ("True", "False")  # the kernel decides how far the signal reaches; the run goes on


def test_code_that_kills_every_sandbox_is_a_clear_end_with_the_trace() -> None:
    with coded(*["import os; os._exit(3)"] * 4) as (_, lm), pytest.raises(fleet.FleetError) as caught:
        fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
    assert "the sandbox ended" in str(caught.value)
    assert caught.value.run.status == "failed"
    assert caught.value.run.usage.llm_calls == 4


def test_an_unreadable_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    binary = tmp_path / "picture.bin"
    binary.write_bytes(b"\x00\x01" * 100)
    for path, sentence in [(tmp_path / "absent.txt", "absent.txt"), (binary, "binary file")]:
        with pytest.raises(ContextError, match=sentence):
            fleet.run("What?", context={"data": path})


def test_binary_files_in_a_directory_do_not_hide_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the needle is 42\n" + BIG)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\x00\x00")
    look = "hits = [p for p, text in context.items() if 'needle' in text]\nSUBMIT(answer=hits + list(context.binary))"
    with coded(look) as (_, lm):
        run = fleet.run("Where?", context=tmp_path, lm=lm, mode="rlm_only")
    assert run.answer == "['a.txt', 'b.png']"


def test_the_next_run_works_after_a_failed_one() -> None:
    with coded("SUBMIT(answer='fine')") as (_, lm):
        with pytest.raises(ContextError):
            fleet.run("What?", context={"lock": threading.Lock(), "text": BIG}, lm=lm, mode="rlm_only")
        assert fleet.run("What?", context=BIG, lm=lm, mode="rlm_only").answer == "fine"
