"""The data of a run is kept beside its log, comes back equal, and what cannot come back is said to."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.agent.kept import INLINE, NAME, is_small, keep, restore
from fleet_rlm.core.errors import UserError
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile

ROOM = 64  # MB


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "runs" / "r1"
    directory.mkdir(parents=True)
    return directory


def home(run: Path) -> Path:
    return run.parents[1]


def back(run: Path, value: Any, **given_again: Any) -> Any:
    keep({"value": value}, run, home(run), ROOM)
    return restore(run, home(run), ["value"], given_again)["value"]


TIMES = pd.date_range("2026-01-01", periods=3, tz="UTC")
FRAME = pd.DataFrame({"n": [1, 2, 3], "text": ["a", None, "é"], "when": TIMES, "kind": pd.Categorical(["x", "y", "x"])})


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "",
        "lone \ud800 surrogate and \r\n ends",
        b"\x00\xff",
        7,
        2.5,
        True,
        None,
        [1, "two", [None]],
        {"a": {"b": [1.5]}},
    ],
    ids=repr,
)
def test_plain_values_come_back_equal_and_of_their_type(value: Any, run: Path) -> None:
    found = back(run, value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.set_index("when"),
        FRAME[["n", "when"]].iloc[:0],
        pd.DataFrame({"n": [1]}, index=pd.Index(["row"], name="key")),
    ],
    ids=["plain", "indexed by time", "empty", "named index"],
)
def test_frames_come_back_equal(frame: pd.DataFrame, run: Path) -> None:
    pd.testing.assert_frame_equal(back(run, frame), frame)


def test_series_tables_and_arrays_come_back_equal(run: Path) -> None:
    for series in (pd.Series([1, 2], name="n"), pd.Series(["a"])):
        pd.testing.assert_series_equal(back(run, series), series)
    table = pa.table({"n": [1, None], "nested": [[1], []]})
    assert back(run, table).equals(table)
    array = np.arange(6, dtype="float32").reshape(2, 3)
    found = back(run, array)
    assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: "a number as key"},
        [float("nan")],
        {"when": datetime.date(2026, 1, 1)},
        {"a", "b"},
        np.array([object()]),
        pd.DataFrame({"mixed": [1, "two"]}),
        pd.DataFrame({"tuple": [(1, 2)]}),
        pd.Series([object()]),
        FRAME.iloc[:0],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_equal_is_not_kept_and_asked_for(value: Any, run: Path) -> None:
    keep({"value": value}, run, home(run), ROOM)
    with pytest.raises(
        UserError, match=r"value .*of a kind that is not kept. Give it again: context={'value': \.\.\.}"
    ):
        restore(run, home(run), ["value"], {})
    assert restore(run, home(run), ["value"], {"value": value})["value"] is value
    assert list((home(run) / "values").iterdir()) == []


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    )
)
def test_any_json_value_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    directory = tmp_path_factory.mktemp("any") / "runs" / "r1"
    directory.mkdir(parents=True)
    found = back(directory, value)
    assert found == value
    assert type(found) is type(value)


def test_equal_values_of_many_runs_lie_there_once(run: Path) -> None:
    other = run.parent / "r2"
    other.mkdir()
    for directory in (run, other):
        keep({"a": "same", "b": "same"}, directory, home(run), ROOM)
    assert len(list((home(run) / "values").iterdir())) == 1


def test_values_and_their_list_are_private(run: Path) -> None:
    keep({"value": "secret"}, run, home(run), ROOM)
    assert (home(run) / "values").stat().st_mode & 0o777 == 0o700
    assert (run / NAME).stat().st_mode & 0o777 == 0o600


def test_nothing_that_is_kept_is_run_when_it_is_read(run: Path) -> None:
    keep({"value": FRAME, "text": "x", "list": [1]}, run, home(run), ROOM)
    kept = [file.read_bytes()[:6] for file in (home(run) / "values").iterdir()]
    assert not any(data.startswith(b"\x80") for data in kept)  # as a pickle does


def test_files_and_directories_stay_where_they_are_and_changes_are_seen(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    file = tmp_path / "b.txt"
    file.write_text("b")
    keep({"folder": GrantedDirectory(folder), "file": GrantedFile(file)}, run, home(run), ROOM)
    found = restore(run, home(run), ["folder", "file"], {})
    assert (found["folder"].path, found["file"].path) == (folder, file)
    assert list((home(run) / "values").iterdir()) == []
    (folder / "new.txt").write_text("n")
    os.utime(file, (1, 1))
    with pytest.raises(UserError, match=r"folder \(.*data\) has changed .*; file \(.*b.txt\) has changed"):
        restore(run, home(run), ["folder", "file"], {})


def test_the_oldest_values_make_room(run: Path) -> None:
    big = "x" * 700_000
    for number, name in enumerate(("first", "second")):
        directory = run.parent / name
        directory.mkdir()
        keep({"value": f"{name}{big}"}, directory, home(run), 1)
        for file in (home(run) / "values").iterdir():
            os.utime(file, (number + 1, number + 1))
    assert restore(run.parent / "second", home(run), ["value"], {})["value"].startswith("second")
    with pytest.raises(UserError, match=r"value \(str\) is no longer kept"):
        restore(run.parent / "first", home(run), ["value"], {})


def test_what_is_larger_than_all_room_is_not_kept(run: Path) -> None:
    keep({"value": "x" * (2 << 20)}, run, home(run), 1)
    with pytest.raises(UserError, match=r"is larger than FLEET_KEEP_MB \(1 MB\)"):
        restore(run, home(run), ["value"], {})


def test_a_list_that_is_torn_missing_or_of_a_later_version_asks_for_the_data(run: Path) -> None:
    keep({"value": "x"}, run, home(run), ROOM)
    whole = (run / NAME).read_bytes()
    for held in (whole[:5], b"[]", b""):
        (run / NAME).write_bytes(held)
        with pytest.raises(UserError, match="value was not kept"):
            restore(run, home(run), ["value"], {})
    (run / NAME).write_bytes(whole.replace(b'"text"', b'"holograph"'))
    with pytest.raises(UserError, match="a format this fleet-rlm does not know"):
        restore(run, home(run), ["value"], {})


def test_a_value_whose_bytes_are_not_what_they_were_is_not_taken(run: Path) -> None:
    keep({"value": "what it was"}, run, home(run), ROOM)
    (file,) = (home(run) / "values").iterdir()
    file.write_bytes(b"something else")
    with pytest.raises(UserError, match="is no longer what was kept"):
        restore(run, home(run), ["value"], {})


def test_a_run_without_data_needs_none(run: Path) -> None:
    keep({}, run, home(run), ROOM)
    assert restore(run, home(run), [], {}) == {}


def test_a_disk_that_is_full_is_an_error_and_leaves_no_half_value(run: Path) -> None:
    (home(run) / "values").write_text("no directory")
    with pytest.raises(OSError, match="exists"):
        keep({"value": "x"}, run, home(run), ROOM)
    assert not (run / NAME).exists()


def test_small_data_is_kept_before_the_run_goes_on() -> None:
    assert is_small({"a": "x" * INLINE})
    assert not is_small({"a": "x" * INLINE, "b": "y"})
    assert not is_small({"a": pd.DataFrame({"n": range(1_000_000)})})
    assert is_small({"a": 7, "b": GrantedFile("anywhere")})


def test_values_come_out_of_a_home_that_cannot_be_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep({"logs": "an error"}, run, home(run), ROOM)

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.utime", refused)
    assert restore(run, home(run), ["logs"], {}) == {"logs": "an error"}
