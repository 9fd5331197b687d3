"""What a cell prints, shows and writes reaches the host: in order, while it runs, and nothing beside it."""

from __future__ import annotations

import threading

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox.base import CellResult
from tests.conformance.backends import Local


def test_prints_and_value_and_traceback_are_all_kept(local: Local) -> None:
    sandbox = local()
    assert sandbox.run("print('before')\n6 * 7").text() == "before\n42"
    failed = sandbox.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nvalue = {}\nvalue['missing']\n")
    assert failed.printed == "out\nerr\n"
    assert failed.stdout == "out\n"
    assert failed.stderr == "err\n"
    assert failed.error is not None
    assert failed.error.type == "KeyError"
    assert "value['missing']" in failed.error.traceback
    assert "line 5" in failed.error.traceback
    assert "session.py" not in failed.error.traceback
    assert failed.text().startswith("out\nerr\nTraceback")


def test_output_of_child_processes_is_captured(local: Local) -> None:
    sandbox = local()
    result = sandbox.run("import subprocess\nprint(1)\n_ = subprocess.run(['echo', 'two'])\nprint(3)")
    assert result.printed == "1\ntwo\n3\n"


def test_output_is_streamed_while_the_cell_runs(local: Local) -> None:
    sandbox = local()
    heard: list[tuple[str, str]] = []
    first = threading.Event()

    def listen(stream: str, text: str) -> None:
        heard.append((stream, text))
        first.set()

    def proceed() -> None:
        assert first.wait(10), "nothing was heard before the cell ended"

    sandbox.tools["proceed"] = proceed
    result: CellResult = run_sync(
        sandbox.aexecute("print('early')\nproceed()\nfor i in range(1000): print(i)", on_output=listen)
    )
    assert "".join(text for _, text in heard) == result.printed
    assert len(heard) < 50  # batches, not one message per write


def test_top_level_await_works(local: Local) -> None:
    assert local().run("import asyncio\nawait asyncio.sleep(0, 'done')").value == "'done'"


def test_a_cell_that_awaits_runs_in_one_event_loop_as_a_whole(local: Local) -> None:
    code = "import asyncio\ntasks = [asyncio.create_task(asyncio.sleep(0, i)) for i in range(3)]\n"
    assert local().run(f"{code}await asyncio.gather(*tasks)").value == "[0, 1, 2]"
    between = "queue = asyncio.Queue()\nwaiting = asyncio.create_task(queue.get())\nawait asyncio.sleep(0)\n"
    assert local().run(f"import asyncio\n{between}queue.put_nowait(5)\nawait waiting").value == "5"


def test_what_native_code_prints_is_kept(local: Local) -> None:
    assert local().run("import ctypes\n_ = ctypes.CDLL(None).printf(b'from C\\n')").printed == "from C\n"


def test_a_stream_that_code_kept_is_heard_in_children_too(local: Local) -> None:
    parent = local()
    parent.run("import logging\nlogging.basicConfig()")
    child = parent.fork()
    restored = parent.restore(parent.checkpoint())
    for sandbox in (parent, child, restored):
        assert sandbox.run("logging.warning('news')").stderr == "WARNING:root:news\n"  # type: ignore[attr-defined]


def test_an_error_that_cannot_be_described_is_told_all_the_same(local: Local) -> None:
    sandbox = local(timeout=0.5)
    for body in ("raise SystemExit", "raise KeyboardInterrupt", "return 5", "1 / 0"):
        error = sandbox.run(f"kept = 1\nclass Odd(Exception):\n    def __str__(self): {body}\nraise Odd").error
        assert error is not None
        assert error.type == "Odd"
    endless = sandbox.run("class Odd(Exception):\n    def __str__(self):\n        while True: pass\nraise Odd").error
    assert endless is not None
    assert endless.type == "CellTimeout"
    assert sandbox.run("kept").value == "1"


def test_an_object_that_claims_every_form_is_shown_by_its_repr(local: Local) -> None:
    result = local().run("from unittest import mock\nmock.MagicMock(name='m')")
    assert result.error is None
    assert result.displays == []
    assert "MagicMock" in (result.value or "")


def test_rich_objects_and_files_come_back(local: Local) -> None:
    sandbox = local()
    code = """
class Rich:
    def _repr_html_(self): return '<b>rich</b>'
    def _repr_png_(self): return b'png'
    def __repr__(self): return 'Rich()'
display(Rich())
open('artifacts/table.csv', 'w').write('a,b')
Rich()
"""
    result = sandbox.run(code)
    assert [shown["text/html"] for shown in result.displays] == ["<b>rich</b>"] * 2
    assert result.displays[0]["image/png"] == "cG5n"
    assert [(file.name, file.bytes, file.path.read_text()) for file in result.artifacts] == [("table.csv", 3, "a,b")]
    assert sandbox.run("1").artifacts == []


def test_symbolic_links_among_the_artifacts_are_not_followed(local: Local) -> None:
    links = "os.symlink('/etc/passwd', 'artifacts/a'); os.symlink('/etc', 'artifacts/b')"
    code = f"import os\n{links}\nopen('artifacts/c', 'w')"
    result = local().run(code)
    assert [file.name for file in result.artifacts] == ["c"]
