"""Kinds: the content decides before the name, and what is no text says so."""

from __future__ import annotations

import codecs

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents.kinds import is_binary, kind_of
from tests.agent.documents.samples import every_format

KINDS = dict(
    zip(
        every_format(),
        ["text", "markdown", "html", "csv", "json", "parquet", "notebook", "pdf", "docx", "pptx", "xlsx"],
        strict=True,
    )
)


@pytest.mark.parametrize("name", KINDS)
def test_every_format_is_known_by_name_and_content(name: str) -> None:
    assert kind_of(name, every_format()[name][:8192]) == KINDS[name]
    assert kind_of(name.upper(), every_format()[name][:8192]) == KINDS[name]


def test_the_content_decides_where_the_name_says_otherwise() -> None:
    assert kind_of("report.txt", b"%PDF-1.7 ...") == "pdf"
    assert kind_of("table", b"PAR1....") == "parquet"


def test_what_a_server_says_counts_before_the_name() -> None:
    assert kind_of("download", b"<html>", "text/html; charset=utf-8") == "html"
    assert kind_of("data.csv", b"a,b", "application/octet-stream") == "csv"


@pytest.mark.parametrize(
    ("name", "head", "told"),
    [
        ("notes.txt", b"some\0thing", "binary file"),
        ("notes.txt", b"\x7fELF\x02\x01", "a program"),
        ("notes.md", b"\x89PNG\r\n\x1a\n", "an image"),
        ("log.txt", b"\x1f\x8b\x08\x00", "compressed by gzip"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old format"),
        ("paper.pdf", b"hello", "is not a pdf file"),
        ("letter.docx", b"hello", "is not a docx file"),
        ("noise.txt", bytes(range(1, 32)) * 4, "binary file"),
    ],
)
def test_binary_posing_as_text_is_refused_in_one_sentence(name: str, head: bytes, told: str) -> None:
    with pytest.raises(DocumentError, match=told) as caught:
        kind_of(name, head)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["plain", "ümläut", "\x1b[31mred\x1b[0m\n" * 3, ""])
def test_text_of_every_sort_is_text(text: str) -> None:
    assert not is_binary(text.encode())
    assert not is_binary(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
