"""Files and directories reach the guest as text, without any path, and say what could not be read."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_rlm.core.errors import ContextError
from fleet_rlm.sandbox import files
from fleet_rlm.sandbox.files import GrantedDirectory, GrantedFile
from fleet_rlm.sandbox.guest import files as guest_files
from fleet_rlm.sandbox.local import LocalSandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    with LocalSandbox() as made:
        yield made


def test_a_text_file_is_a_string(sandbox: LocalSandbox, tmp_path: Path) -> None:
    for name, data in {"utf8": "née\n".encode(), "latin": b"n\xe9e\n", "bom": b"\xef\xbb\xbfn\xc3\xa9e\n"}.items():
        (tmp_path / name).write_bytes(data)
        sandbox.put("text", GrantedFile(tmp_path / name))
        assert sandbox.run("text").value == repr("née\n")
    (tmp_path / "empty").touch()
    sandbox.put("text", GrantedFile(tmp_path / "empty"))
    assert sandbox.run("text").value == "''"


def test_files_that_cannot_be_text_are_explained(sandbox: LocalSandbox, tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(ContextError, match="binary file"):
        sandbox.put("text", GrantedFile(tmp_path / "image.bin"))
    with pytest.raises(ContextError, match="No such file"):
        sandbox.put("text", GrantedFile(tmp_path / "missing"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContextError, match="not a regular file"):
        sandbox.put("text", GrantedFile(tmp_path / "pipe"))


def test_a_directory_is_a_mapping_from_path_to_text(sandbox: LocalSandbox, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text("zwei")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "raw.bin").write_bytes(b"\0\1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "inner").symlink_to("a.txt")
    sandbox.put("folder", GrantedDirectory(tmp_path))
    assert sandbox.run(
        "list(folder), len(folder), 'a.txt' in folder, folder.get('none'), folder['b/two.txt']"
    ).value == ("(['a.txt', 'inner', 'b/two.txt'], 3, True, None, 'zwei')")
    assert sandbox.run("folder.binary, folder.bytes('raw.bin'), folder.size('a.txt'), folder.root").value == repr(
        (("raw.bin",), b"\0\1", 3, tmp_path.name)
    )
    assert sandbox.run("sorted(folder.skipped.items())").value == repr(
        [(".git", "version control data"), ("link", "a symbolic link that leads outside")]
    )
    assert "is a binary file" in sandbox.run("folder['raw.bin']").text()
    assert "leads outside" in sandbox.run("folder['link']").text()
    assert "no file 'x'" in sandbox.run("folder['x']").text()


def test_what_is_closed_to_agents_is_left_out_of_a_directory_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "home/runs/log", "others/key", "secret.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "around").symlink_to("others/key")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLEET_CLOSED", os.pathsep.join([str(tmp_path / "others"), str(tmp_path / "secret.txt")]))
    head, fd, _ = GrantedDirectory(tmp_path).packed()
    os.close(fd)
    assert head["skipped"] == dict.fromkeys(("home", "others", "secret.txt", "around"), "closed to agents")
    assert list(GrantedDirectory(tmp_path).file_sizes()) == ["a.txt"]
    assert list(GrantedDirectory(tmp_path / "home").file_sizes()) == ["runs/log"]  # whoever names it means it


def test_an_empty_and_a_missing_directory(sandbox: LocalSandbox, tmp_path: Path) -> None:
    sandbox.put("folder", GrantedDirectory(tmp_path))
    assert sandbox.run("len(folder)").value == "0"
    with pytest.raises(ContextError, match="cannot be read"):
        sandbox.put("folder", GrantedDirectory(tmp_path / "missing"))


def test_the_granted_files_cannot_be_changed_through_their_descriptors(sandbox: LocalSandbox, tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("kept")
    sandbox.put("text", GrantedFile(path))
    code = """
import os, stat
for fd in range(64):
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.write(fd, b'x')
            os.ftruncate(fd, 0)
    except OSError:
        pass
"""
    sandbox.run(code)
    assert path.read_text() == "kept"


def test_very_large_text_is_mapped_and_searched_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_files, "WHOLE_TEXT", 10)
    path = tmp_path / "big.txt"
    path.write_text("first\nsecönd\nthird\n", encoding="utf-8")
    text = guest_files.text_file(os.open(path, os.O_RDONLY), "big.txt")
    assert isinstance(text, guest_files.LazyText)
    assert list(text.lines()) == ["first", "secönd", "third"]
    assert (text[:5], text[-1], "cön" in text, text.count("ir"), text.find("third")) == ("first", "\n", True, 2, 14)
    assert [match.group() for match in text.finditer("t.ird")] == [b"third"]
    assert len(text) == 20


def test_pipes_sockets_and_dead_links_are_neither_waited_for_nor_counted(sandbox: LocalSandbox, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfn\xc3\xa9e")
    (tmp_path / "latin.txt").write_bytes(b"n\xe9e")
    (tmp_path / "raw.bin").write_bytes(b"\0\1")
    (tmp_path / "inner").symlink_to("latin.txt")
    (tmp_path / "dead").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        granted = GrantedDirectory(tmp_path)
        sandbox.put("folder", granted)
        sizes, texts = granted.file_sizes(), granted.texts()
    assert sizes == {"a.txt": 7, "inner": 3, "latin.txt": 3}
    assert texts == {"a.txt": "née", "inner": "née", "latin.txt": "née"}
    assert sandbox.run("folder.file_sizes()").value == repr(sizes)
    assert sandbox.run("dict(folder)").value == repr(texts)
    assert sandbox.run("sorted(folder.skipped)").value == repr(["dead", "loop", "pipe", "socket"])
    assert sandbox.run("folder.skipped['pipe'], folder.skipped['socket']").value == repr(("not a regular file",) * 2)


def test_a_pipe_is_not_opened_so_its_writer_goes_on_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"kept")
    with pytest.raises(ContextError, match="not a regular file"):
        GrantedFile(tmp_path / "pipe").text()
    assert GrantedDirectory(tmp_path).texts() == {}
    assert os.read(reader, 10) == b"kept"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("name", ["a\nb.txt", "\x1b[31m.txt", "tab\t.txt", os.fsdecode(b"n\xe9e.txt")])
def test_names_stay_as_they_are(sandbox: LocalSandbox, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    granted = GrantedDirectory(tmp_path)
    assert granted.file_sizes() == {name: 1}
    assert granted.texts() == {name: "x"}
    sandbox.put("folder", granted)
    assert sandbox.run("list(folder) == [name] and folder[name]".replace("name", ascii(name))).value == "'x'"


def test_the_text_of_a_file_is_what_the_sandbox_has(sandbox: LocalSandbox, tmp_path: Path) -> None:
    for data in (b"", b"n\xc3\xa9e\r\n", b"n\xe9e", b"\xef\xbb\xbfx"):
        (tmp_path / "a.txt").write_bytes(data)
        granted = GrantedFile(tmp_path / "a.txt")
        sandbox.put("text", granted)
        assert sandbox.run("text").value == repr(granted.text())
    (tmp_path / "a.txt").write_bytes(b"\0")
    with pytest.raises(ContextError, match="binary file"):
        GrantedFile(tmp_path / "a.txt").text()


def test_a_directory_that_holds_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILES_LIMIT", 2)
    for number in range(3):
        (tmp_path / f"{number}.txt").touch()
    granted = GrantedDirectory(tmp_path)
    for look in (granted.file_sizes, granted.texts, granted.packed):
        with pytest.raises(ContextError, match="holds more than 2 files"):
            look()
