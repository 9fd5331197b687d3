"""`--with` names files, directories and standard input; what cannot be read is told by its name."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from fleet_rlm.cli.inputs import read_inputs
from fleet_rlm.core.errors import ContextError


def test_files_and_directories_stay_paths_under_names_python_takes(tmp_path: Path) -> None:
    for name in ("app log.txt", "2026.md", "class.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "src").mkdir()

    values = read_inputs(str(tmp_path / name) for name in ("app log.txt", "2026.md", "class.txt", "src"))

    assert values == {
        "app_log": tmp_path / "app log.txt",
        "v_2026": tmp_path / "2026.md",
        "class_": tmp_path / "class.txt",
        "src": tmp_path / "src",
    }


def test_an_input_can_be_given_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")

    assert read_inputs([f"letter={tmp_path / 'a.txt'}"]) == {"letter": tmp_path / "a.txt"}


def test_tables_become_dataframes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2], "s": ["a", "b"]})
    frame.to_csv(tmp_path / "c.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "p.parquet")

    values = read_inputs([str(tmp_path / name) for name in ("c.csv", "t.tsv", "p.parquet")])

    for value in values.values():
        assert value.to_dict("list") == {"n": [1, 2], "s": ["a", "b"]}


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("piped"))

    assert read_inputs(["-"]) == {"stdin": "piped"}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("no table")

    with pytest.raises(ContextError, match=r"there is no file or directory '.*missing'"):
        read_inputs([str(tmp_path / "missing")])
    with pytest.raises(ContextError, match=r"bad\.parquet cannot be read as a table"):
        read_inputs([str(tmp_path / "bad.parquet")])


def test_two_inputs_cannot_share_a_name(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md"):
        (tmp_path / name).write_text("x")

    with pytest.raises(ContextError, match="two inputs would be called 'a'"):
        read_inputs([str(tmp_path / "a.txt"), str(tmp_path / "a.md")])
