"""Nothing outside a directory is reached by a path inside it, not even while somebody puts links in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.core import inside
from tests.twins.swapper import swapped

TRIES = 3_000


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory with a file three folders down, beside one that is none of its business."""
    for place, text in (("base/a/b/c", "mine"), ("outside/c", "secret"), ("outside", "secret")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "file").write_text(text)
    return tmp_path / "base"


def text(base: Path, *parts: str) -> str:
    with open(inside.opened(base, parts)) as file:
        return file.read()


def test_a_file_is_read_and_a_folder_listed(base: Path) -> None:
    assert text(base, "a", "b", "c", "file") == "mine"
    with inside.folder(base, ("a", "b")) as fd:
        assert os.listdir(fd) == ["c"]
    with inside.folder(base, ()) as fd:
        assert os.listdir(fd) == ["a"]


def test_folders_are_made_where_they_are_wanted(base: Path) -> None:
    with inside.folder(base, ("a", "new", "newer"), make=True) as fd:
        os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    assert (base / "a" / "new" / "newer" / "x").exists()


def test_the_directory_itself_may_be_reached_by_a_link(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(base)
    assert text(tmp_path / "mounted", "a", "b", "c", "file") == "mine"
    with inside.folder(tmp_path / "mounted", ()) as fd:
        assert os.listdir(fd) == ["a"]


@pytest.mark.parametrize("parts", [("..", "outside", "file"), ("a/../../outside", "file"), (".", "a"), ("", "file")])
def test_what_is_no_name_is_refused(base: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(OSError, match="no place inside"):
        inside.opened(base, parts)


@pytest.mark.parametrize("place", ["a", "a/b", "a/b/c", "a/b/c/file"])
def test_a_link_anywhere_on_the_way_is_refused(base: Path, tmp_path: Path, place: str) -> None:
    (base / place).rename(tmp_path / "moved")
    (base / place).symlink_to(tmp_path / "moved")
    assert (base / "a" / "b" / "c" / "file").read_text() == "mine"
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        inside.opened(base, ("a", "b", "c", "file"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(base: Path, make: object) -> None:
    assert callable(make)
    make(base / "odd")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="not a file"):
        inside.opened(base, ("odd",))
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_is_led_outside_while_a_parent_becomes_a_link_and_back(base: Path, tmp_path: Path) -> None:
    read, refused = 0, 0
    with swapped(base / "a" / "b", tmp_path / "outside"):
        for _ in range(TRIES):
            try:
                assert text(base, "a", "b", "c", "file") == "mine"
                read += 1
            except OSError:
                refused += 1
    assert read > 0
    assert refused > 0
