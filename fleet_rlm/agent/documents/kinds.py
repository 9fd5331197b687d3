"""Which format a file is of, from its first bytes, its name and what a server said of it, in that order."""

from __future__ import annotations

import codecs
from pathlib import PurePosixPath

from fleet_rlm.agent.documents.errors import DocumentError

SUFFIXES = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".geojson"), "json"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **{".ipynb": "notebook", ".pdf": "pdf", ".docx": "docx", ".pptx": "pptx", ".xlsx": "xlsx"},
}
"""Suffix to kind; a file of any other is text."""

MEDIA_TYPES = {
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ipynb+json": "notebook",
    "application/vnd.apache.parquet": "parquet",
    "application/pdf": "pdf",
    **{
        f"application/vnd.openxmlformats-officedocument.{name}": kind
        for name, kind in (
            ("wordprocessingml.document", "docx"),
            ("presentationml.presentation", "pptx"),
            ("spreadsheetml.sheet", "xlsx"),
        )
    },
}

PARSED = frozenset({"html", "notebook", "parquet", "pdf", "docx", "pptx", "xlsx"})
"""Kinds that are read in a limited process; the others are text as it stands."""

BINARY = frozenset({"parquet", "pdf", "docx", "pptx", "xlsx"})
OFFICE = frozenset({"docx", "pptx", "xlsx"})

PROBE = 8_192

MAGIC = {
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xfd7zXZ\x00": "compressed by xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"\x7fELF": "a program",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"SQLite format 3\x00": "an SQLite database; export its tables as CSV or Parquet",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Office document of the old format; save it as docx, pptx or xlsx",
}


def kind_of(name: str, head: bytes, media_type: str = "") -> str:
    """The kind of a file called `name` that begins with `head` (8 KB are enough).

    Raises:
        DocumentError: it is none that can be read as text.
    """
    suffix = SUFFIXES.get(PurePosixPath(name).suffix.lower())
    kind = MEDIA_TYPES.get(media_type.partition(";")[0].strip().lower()) or suffix or "text"
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        return next((found for found in (suffix, kind) if found in OFFICE), "docx")  # the parser knows them apart
    for magic, told in MAGIC.items():
        if head.startswith(magic):
            raise DocumentError(f"{name} is {told}")
    if kind in BINARY:
        raise DocumentError(f"{name} is not a {kind} file: its content begins with {head[:8]!r}")
    if is_binary(head):
        raise DocumentError(f"{name} is a binary file, not text; convert it, or pass its data to the question instead")
    return kind


def is_binary(head: bytes) -> bool:
    """Whether a file that begins so is no text: NUL outside of UTF-16/32, or many control characters."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return False
    odd = sum(byte < 32 and byte not in (7, 8, 9, 10, 11, 12, 13, 27) for byte in head)
    return b"\0" in head or odd > len(head) // 20
