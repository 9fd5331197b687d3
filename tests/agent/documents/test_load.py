"""Loading: from roots and URLs, what is told of it, and what is too large, empty or no text."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import Document, DocumentError, Documents, reading
from fleet_rlm.agent.documents import load as module
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.roots import OutsideRoots, Roots
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.repositories import repository
from tests.agent.documents.samples import CANARY, every_format, written
from tests.agent.documents.web import Names, serving


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(Documents(), Roots(tmp_path), Fetcher(resolver=Names()))


def load(loader: Loader, where: str, alias: str = "") -> Document:
    return run_sync(loader.load(where, alias))


TOLD = {
    "notes.txt": {"lines": 2},
    "birds.csv": {"lines": 2, "columns": ["bird", "note"]},
    "birds.parquet": {"lines": 2, "rows": 1, "columns": {"bird": "string", "seen": "int64"}},
    "paper.pdf": {"lines": 6, "pages": 2, "reader": "kreuzberg"},
    "sheet.xlsx": {"lines": 4, "sheets": ["Birds"]},
    "work.ipynb": {"lines": 13, "cells": 2},
    "page.html": {"lines": 11, "title": "Birds"},
}


@pytest.mark.parametrize("name", every_format())
def test_every_format_becomes_a_text_with_what_is_known_of_it(name: str, loader: Loader, tmp_path: Path) -> None:
    path = written(tmp_path, name, every_format()[name])
    document = load(loader, name)
    assert CANARY in document.text
    assert (document.source, document.chars) == (str(path.resolve()), len(document.text))
    assert TOLD.get(name, document.metadata) == document.metadata


def test_aliases_are_made_of_names_and_never_collide(loader: Loader, tmp_path: Path) -> None:
    loader.taken = ["notes"]
    for name in ("notes.txt", "2024 report (final).md", "Class.txt", "class.md", "ünïcode.txt", "print.txt"):
        written(tmp_path, name, "x")
    made = [load(loader, path).alias for path in ("notes.txt", "2024 report (final).md", "class.md", "print.txt")]
    assert made == ["notes_2", "document_2024_report_final", "class_document", "print_document"]
    assert load(loader, "ünïcode.txt").alias.isidentifier()


def test_a_source_loaded_again_is_the_same_document_anew(loader: Loader, tmp_path: Path) -> None:
    for text in ("old", "new"):
        written(tmp_path, "notes.txt", text)
        load(loader, "notes.txt")
    assert [(one.alias, one.text) for one in loader.documents] == [("notes", "new")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_columns_of_a_table_are_told_in_every_encoding(encoding: str, loader: Loader, tmp_path: Path) -> None:
    written(tmp_path, "table.csv", "größe;n\n1;2\n".encode(encoding))
    document = load(loader, "table.csv")
    assert (document.metadata["columns"], document.text) == (["größe", "n"], "größe;n\n1;2\n")


def test_a_table_with_the_line_ends_of_old_macs_is_one_too(loader: Loader, tmp_path: Path) -> None:
    written(tmp_path, "old.csv", b'a,"b c"\r1,2\r')
    assert load(loader, "old.csv").metadata["columns"] == ["a", "b c"]


def test_a_load_that_is_stopped_leaves_no_document_and_no_half_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE", 1)  # so slow that it is stopped in the middle
    written(tmp_path, "slow.txt", "x" * 5_000_000)
    documents = Documents(tmp_path / "kept")

    async def stop() -> None:
        async with asyncio.timeout(0.5):
            await Loader(documents, Roots(tmp_path), Fetcher()).load("slow.txt")

    with pytest.raises(TimeoutError):
        asyncio.run(stop())  # ends when its threads have ended
    assert (len(documents), list((tmp_path / "kept").iterdir())) == (0, [])


def test_a_url_is_loaded_under_the_name_and_kind_it_has_there(loader: Loader) -> None:
    with serving() as web:
        loader.fetcher = Fetcher(allow=["wiki.example"], resolver=Names(wiki_example=[["127.0.0.1"]]))
        page = load(loader, f"http://wiki.example:{web.port}/to?/page")
        assert (page.alias, page.kind, page.text) == ("page", "html", "# Heron\n\n")
        assert page.source == f"http://wiki.example:{web.port}/page"
        assert load(loader, f"http://wiki.example:{web.port}/").alias == "wiki"


def test_a_directory_is_a_text_of_all_its_files_and_tells_what_is_left_out(loader: Loader, tmp_path: Path) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    written(outside, "secret.txt", "secret")
    shelf = tmp_path / "shelf"
    written(shelf, "a.txt", "one")
    written(shelf, "b/c.pdf", every_format()["paper.pdf"])
    written(shelf, "noise.bin", b"\0\1")
    written(shelf, ".git/config", "x")
    (shelf / "inner").symlink_to(shelf / "a.txt")
    (shelf / "outer").symlink_to(outside / "secret.txt")
    (shelf / "away").symlink_to(outside)
    os.mkfifo(shelf / "pipe")
    document = load(loader, "shelf")
    assert document.text.startswith("=== a.txt ===\none\n\n=== inner ===\none\n\n=== b/c.pdf ===\n[page 1]\n")
    assert "secret" not in document.text
    assert (document.kind, document.metadata["files"], document.metadata["left_out"]) == ("directory", 3, 5)
    assert "index" not in document.told()
    assert len(document.hashes()) == 2


def test_a_repository_is_a_document_with_its_commit(loader: Loader, tmp_path: Path) -> None:
    _, first, _ = repository(tmp_path / "my-repo.git")
    document = run_sync(loader.load_repository("my-repo.git", "v1"))
    assert (document.alias, document.kind) == ("my_repo", "repository")
    assert (document.metadata["commit"], document.metadata["ref"]) == (first, "v1")
    assert "print('one')" in document.text


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.txt", b"", "is empty"),
        ("posing.txt", b"\0\1\2", "binary file"),
        ("archive.zip", b"PK\x03\x04", "not an Office document"),
        ("empty.html", b"<script>x</script>", "is empty"),
    ],
)
def test_what_cannot_be_a_document_is_one_sentence_and_changes_nothing(
    name: str, data: bytes, told: str, loader: Loader, tmp_path: Path
) -> None:
    written(tmp_path, name, data)
    with pytest.raises(DocumentError, match=told) as caught:
        load(loader, name)
    assert "\n" not in str(caught.value)
    assert len(loader.documents) == 0


def test_a_directory_without_text_and_one_with_too_much_are_told(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DocumentError, match="holds no file that can be read"):
        load(loader, "empty")
    for number in range(3):
        written(tmp_path, f"many/{number}.txt", "x")
    monkeypatch.setattr("fleet_rlm.agent.documents.directory.FILES", 2)
    with pytest.raises(DocumentError, match="load a directory further down"):
        load(loader, "many")


def test_a_file_larger_than_a_document_may_be_is_told(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_PARSED", 100)
    written(tmp_path, "paper.pdf", every_format()["paper.pdf"])
    with pytest.raises(DocumentError, match="more than the 100 a pdf document may have"):
        load(loader, "paper.pdf")


def test_without_roots_no_file_is_read(loader: Loader, tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", "x")
    loader.roots = None
    with pytest.raises(OutsideRoots, match="give a URL"):
        load(loader, str(tmp_path / "notes.txt"))
    with pytest.raises(OutsideRoots, match="give an https URL"):
        run_sync(loader.load_repository(str(tmp_path)))


BIG = """
import resource, sys
from pathlib import Path
from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.roots import Roots
from fleet_rlm.core.loop import run_sync

root = Path(sys.argv[1])
loader = Loader(Documents(root / "kept"), Roots(root), Fetcher())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
document = run_sync(loader.load("big.log"))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(document.chars, document.metadata["lines"], grown // 1024)
try:
    document.text
except Exception as error:
    print(error)
print(next(document.lines()).strip(), type(document.value()).__name__)
"""


def test_a_document_of_a_gigabyte_passes_through_a_few_megabytes_of_memory(tmp_path: Path) -> None:
    line = b"2024-01-02T03:04:05 nothing to see here, only the heron\n"
    with open(tmp_path / "big.log", "wb") as file:
        for _ in range(1_000):
            file.write(line * ((1 << 20) // len(line)))
    size = (tmp_path / "big.log").stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", BIG, str(tmp_path)], capture_output=True, text=True, check=True, timeout=100
    )
    told, refused, read = done.stdout.splitlines()
    chars, lines, grown = map(int, told.split())
    assert (chars, lines) == (size, size // len(line))
    assert grown < 100
    assert refused.startswith("'big' has 1,0")
    assert "delegate_to_rlm" in refused
    assert read == f"{line.decode().strip()} GrantedFile"
