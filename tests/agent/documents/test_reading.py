"""Reading: every encoding by its marks, any size in pieces, and nothing but regular files."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents import reading as module
from fleet_rlm.agent.documents.reading import lines, opened, pieces

TEXT = "häufig 🙂\r\nzweite Zeile\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_every_encoding_gives_the_same_text_wherever_the_pieces_are_cut(
    data: bytes, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    (tmp_path / "file").write_bytes(data)
    with opened(tmp_path / "file") as file:
        assert "".join(pieces(file)) == TEXT


def test_bytes_that_are_no_utf8_are_latin_1_and_none_is_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(32, 256)))
    with opened(tmp_path / "file") as file:
        assert "".join(pieces(file)).encode("latin-1") == bytes(range(32, 256))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="not a regular file"):
        opened(tmp_path / "pipe")


def test_a_link_put_in_the_place_of_a_checked_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(DocumentError, match="not a regular file"):
        opened(tmp_path / "link")


def test_a_link_put_in_the_place_of_a_folder_on_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    (tmp_path / "folder").symlink_to(tmp_path / "outside")
    with pytest.raises(DocumentError, match="was replaced by a link while it was opened"):
        opened(tmp_path / "folder" / "file")


def test_what_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        opened(tmp_path / "gone")


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_lines_come_without_their_ends_wherever_the_pieces_are_cut(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    (tmp_path / "file").write_bytes("one\r\n\nzwölf\nlast".encode())
    with opened(tmp_path / "file") as file:
        assert list(lines(file)) == ["one", "", "zwölf", "last"]


def test_of_a_line_without_end_only_the_beginning_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 16)
    monkeypatch.setattr(module, "LONGEST_LINE", 10)
    (tmp_path / "file").write_bytes(b"x" * 1_000 + b"\nshort\n" + b"y" * 1_000)
    with opened(tmp_path / "file") as file:
        assert list(lines(file)) == ["x" * 10, "short", "y" * 10]
