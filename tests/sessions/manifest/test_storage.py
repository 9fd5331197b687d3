"""Storage: whole files, created once; the same promises on a file system and in an object store's directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_rlm.sessions.manifest import LocalStorage, Storage, storage_at
from fleet_rlm.sessions.manifest.storage import DirectoryStorage
from tests.sessions.manifest.places import STORAGES, MemoryStorage


@pytest.fixture(params=STORAGES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryStorage:
    return STORAGES[request.param](tmp_path / "place")


@pytest.fixture(params=[*STORAGES, "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else STORAGES[request.param](tmp_path / "place")


def test_what_is_created_is_read_listed_and_deleted(storage: Storage) -> None:
    assert storage.names() == []
    storage.create("b", b"two")
    storage.create("a", b"one")
    assert (storage.names(), storage.read("a"), storage.read("b")) == (["a", "b"], b"one", b"two")
    storage.delete("a")
    storage.delete("a")
    assert storage.names() == ["b"]


def test_a_taken_name_is_refused_and_untouched(storage: Storage) -> None:
    storage.create("a", b"one")
    with pytest.raises(FileExistsError):
        storage.create("a", b"two")
    assert (storage.read("a"), storage.names()) == (b"one", ["a"])


def test_what_is_not_there_is_told_as_such(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("a")


def test_a_refused_name_leaves_nothing_beside_it(directory: DirectoryStorage) -> None:
    directory.create("a", b"one")
    with pytest.raises(FileExistsError):
        directory.create("a", b"two")
    assert os.listdir(directory.directory) == ["a"]


def test_only_the_user_can_read_what_is_stored(directory: DirectoryStorage) -> None:
    directory.create("a", b"one")
    assert (directory.directory / "a").stat().st_mode & 0o077 == 0
    assert directory.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", STORAGES)
def test_a_full_disk_leaves_no_part_of_a_file(kind: str, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, pathlib\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.sessions.manifest.places import STORAGES\n"
        f"storage = STORAGES[{kind!r}](pathlib.Path({str(tmp_path)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try:\n    storage.create('a', b'x' * 5000)\nexcept OSError as error:\n    print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "27"  # EFBIG
    assert os.listdir(tmp_path) == []


class _Heard:
    """What the interpreter's audit says was done to the file system."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[tuple[str, object]] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event.startswith(("os.", "open")):
            self.events.append((event, arguments))


@pytest.fixture(scope="module")
def heard() -> Iterator[_Heard]:
    heard = _Heard()
    yield heard
    heard.on = False


def test_an_object_store_is_never_asked_to_rename_link_or_append(heard: _Heard, tmp_path: Path) -> None:
    storage = STORAGES["object"](tmp_path / "place")
    heard.on = True
    storage.create("a", b"one")
    storage.read("a")
    storage.names()
    storage.delete("a")
    heard.on = False
    assert heard.events
    assert not [event for event, _ in heard.events if event in ("os.rename", "os.link", "os.symlink", "os.truncate")]
    flags = [arguments[2] for event, arguments in heard.events if event == "open" and isinstance(arguments, tuple)]
    assert not any(isinstance(flag, int) and flag & os.O_APPEND for flag in flags)


def test_the_storage_of_a_place_is_found_by_trying(tmp_path: Path) -> None:
    assert type(storage_at(tmp_path / "new")) is LocalStorage
    assert os.listdir(tmp_path / "new") == []
