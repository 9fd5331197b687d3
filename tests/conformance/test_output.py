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
