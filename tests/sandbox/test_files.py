"""Files and directories reach the guest as text, without any path, and say what could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_rlm.core.errors import ContextError
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
