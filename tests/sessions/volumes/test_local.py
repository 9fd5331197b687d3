"""A local volume: files below three roots, within its quota, and no way out of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.volumes import LocalVolume, Quota, VolumeError, VolumeFull
from fleet_rlm.sessions.volumes.volume import DEPTH, Texts
from tests.twins.swapper import swapped


@pytest.fixture
def volume(tmp_path: Path) -> LocalVolume:
    return LocalVolume("v", tmp_path / "volume")


def test_what_is_written_is_read_browsed_previewed_and_deleted(volume: LocalVolume) -> None:
    assert volume.tree() == []
    assert volume.tree("memory") == []
    volume.write("memory/notes/a.md", "one\n" * 3_000)
    volume.write("artifacts/plot.bin", b"\x00\x01")
    told = [(entry.path, entry.is_folder, entry.bytes, entry.files) for entry in volume.tree()]
    assert told == [
        ("artifacts/plot.bin", False, 2, 1),
        ("memory/notes", True, 12_000, 1),
        ("memory/notes/a.md", False, 12_000, 1),
    ]
    assert volume.read("memory/notes/a.md") == b"one\n" * 3_000
    assert volume.preview("memory/notes/a.md", 8) == "one\none\n\n... (11,992 more bytes)"
    assert volume.preview("artifacts/plot.bin") == "(2 bytes that are no text)"
    volume.delete("memory/notes")
    assert [entry.path for entry in volume.tree()] == ["artifacts/plot.bin"]


def test_files_are_uploaded_and_downloaded_alone_and_as_folders(volume: LocalVolume, tmp_path: Path) -> None:
    (tmp_path / "source.csv").write_text("a,b\n")
    volume.write("buffers/in/source.csv", tmp_path / "source.csv")
    volume.write("buffers/in/deep/other.txt", "x")
    assert volume.download("buffers/in/source.csv", tmp_path / "copy.csv").read_text() == "a,b\n"
    folder = volume.download("buffers", tmp_path / "all")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "in/deep/other.txt",
        "in/source.csv",
    ]
    with pytest.raises(VolumeError, match="exists already"):
        volume.download("buffers/in/source.csv", tmp_path / "copy.csv")


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "memory/../meta/x", "memory/../../x", "meta/x", "meta/sessions/s/manifest.json"),
        *("memory", "notes.md", "memory/a\0b", "memory\\x", "memory/" + "x" * 300, "./meta/x", "memory/./../meta/x"),
    ],
)
def test_no_verb_takes_a_path_that_is_not_below_its_roots(volume: LocalVolume, tmp_path: Path, path: str) -> None:
    (tmp_path / "volume" / "meta" / "sessions").mkdir(parents=True)
    (tmp_path / "volume" / "meta" / "x").write_text("secret")
    for verb in (volume.read, volume.preview, volume.delete, lambda name: volume.write(name, "x")):
        with pytest.raises(VolumeError):
            verb(path)
    assert (tmp_path / "volume" / "meta" / "x").read_text() == "secret"
    assert os.listdir(tmp_path) == ["volume"] or set(os.listdir(tmp_path)) == {"volume", "fleet-home"}


@pytest.mark.parametrize("target", ["/etc", "meta", "../outside"])
def test_links_lead_nowhere(volume: LocalVolume, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "hostname").write_text("canary")
    volume.write("memory/real.md", "x")
    top = volume.directory
    (top / "meta").mkdir()
    (top / "meta" / "hostname").write_text("canary")
    (top / "memory" / "link").symlink_to(target if target.startswith("/") else top / target)
    (top / "memory" / "file").symlink_to(tmp_path / "outside" / "hostname")
    for path in ("memory/link/hostname", "memory/file"):
        with pytest.raises(VolumeError, match="link"):
            volume.read(path)
        with pytest.raises(VolumeError):
            volume.download(path, tmp_path / "stolen")
    with pytest.raises(VolumeError, match="link"):
        volume.write("memory/link/new", "x")
    volume.write("memory/file", "mine")  # takes the link's place and does not follow it
    assert (tmp_path / "outside" / "hostname").read_text() == "canary"
    assert [entry.path for entry in volume.tree()] == ["memory/file", "memory/real.md"]
    volume.delete("memory/link")
    assert (tmp_path / "outside" / "hostname").read_text() == "canary"


@pytest.mark.parametrize("char", ["\r\n", "\n", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"])
def test_no_name_holds_a_line_end_or_another_control_character(volume: LocalVolume, char: str) -> None:
    for verb in (volume.read, volume.delete, lambda name: volume.write(name, "x")):
        with pytest.raises(VolumeError, match=r"holds a line end or another control character; leave it out"):
            verb(f"memory/a{char}b")
    assert volume.tree() == []


def test_letters_of_all_alphabets_are_names(volume: LocalVolume) -> None:
    volume.write("memory/Größe 日本 👩\u200d👧.md", "x")
    assert volume.read("memory/Größe 日本 👩\u200d👧.md") == b"x"


def test_folders_have_an_end_and_what_is_deeper_harms_nobody(volume: LocalVolume) -> None:
    volume.write("memory/" + "a/" * (DEPTH - 2) + "x", "x")
    with pytest.raises(VolumeError, match=f"{DEPTH} parts at most"):
        volume.write("memory/" + "a/" * (DEPTH - 1) + "x", "x")
    place = os.open(volume.directory / "memory", os.O_RDONLY)
    for _ in range(1_200):
        with contextlib.suppress(FileExistsError):
            os.mkdir("a", dir_fd=place)
        below = os.open("a", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    assert len(volume.tree()) == DEPTH
    subprocess.run(["rm", "-rf", volume.directory], check=True)


def test_a_volume_is_listed_while_a_folder_becomes_a_link_and_back(volume: LocalVolume, tmp_path: Path) -> None:
    volume.write("memory/a/b", "x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    seen = set()
    with swapped(volume.directory / "memory" / "a", tmp_path / "outside"):
        for _ in range(300):
            seen |= {entry.path for entry in volume.tree()}
    assert {"memory/a", "memory/a/b"} <= seen <= {"memory/a", "memory/a/b", "memory/a-link", "memory/a-link/b"}


def test_a_pipe_in_a_volume_holds_nobody_up(volume: LocalVolume) -> None:
    volume.write("memory/real.md", "x")
    os.mkfifo(volume.directory / "memory" / "pipe")
    with pytest.raises(VolumeError, match="not a file"):
        volume.read("memory/pipe")


def test_a_quota_of_bytes_counts_all_roots_and_what_is_replaced(tmp_path: Path) -> None:
    volume = LocalVolume("v", tmp_path / "volume", Quota(bytes=100, files=10))
    volume.write("memory/a", b"x" * 60)
    with pytest.raises(VolumeFull, match=r"room for 40 of its 100"):
        volume.write("artifacts/b", b"x" * 41)
    volume.write("memory/a", b"x" * 100)
    volume.delete("memory/a")
    volume.write("artifacts/b", b"x" * 100)


def test_a_quota_of_files_counts_new_ones_only(tmp_path: Path) -> None:
    volume = LocalVolume("v", tmp_path / "volume", Quota(bytes=100, files=2))
    volume.write("memory/a", b"x")
    volume.write("memory/b", b"x")
    volume.write("memory/b", b"y")
    with pytest.raises(VolumeFull, match="2 files"):
        volume.write("memory/c", b"x")


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(tmp_path: Path) -> None:
    code = (
        "import resource, signal, pathlib\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from fleet_rlm.sessions.volumes import LocalVolume, VolumeError\n"
        f"volume = LocalVolume('v', pathlib.Path({str(tmp_path / 'volume')!r}))\n"
        "volume.write('memory/a', 'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try:\n    volume.write('memory/a', b'x' * 5000)\nexcept VolumeError as error:\n    print(error)\n"
        "print(volume.read('memory/a'), [entry.path for entry in volume.tree()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "File too large" in done.stdout
    assert done.stdout.endswith("b'old' ['memory/a']\n")
    assert os.listdir(tmp_path / "volume" / "memory") == ["a"]


def test_the_agents_texts_are_those_of_one_folder(volume: LocalVolume) -> None:
    texts = Texts(volume, "memory")

    async def use() -> tuple[list[str], str]:
        assert await texts.alist() == []
        await texts.awrite("people/ada.md", "likes tables")
        return await texts.alist(), await texts.aread("people/ada.md")

    assert run_sync(use()) == (["people/ada.md"], "likes tables")
    for path in ("../meta/x", "/etc/passwd", "people/../../artifacts/x"):
        with pytest.raises(VolumeError):
            run_sync(texts.awrite(path, "x"))
    volume.write("memory/bin", b"\xff\xfe")
    with pytest.raises(VolumeError, match="no text"):
        run_sync(texts.aread("bin"))
