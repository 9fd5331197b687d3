"""PDF: the text of each page under a line with its number, by kreuzberg where it is installed, else by pypdf."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from fleet_rlm.agent.documents.parser.contract import CannotRead, Write

LOCKED = "is protected by a password; save a copy without it (for instance with `qpdf --decrypt`) and load that"
ONE_PAGE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj trailer<</Root 1 0 R>>\n%%EOF"
)


@functools.cache
def unpacked() -> bool:
    """Whether kreuzberg can be used; lets it write its PDF library to the temporary directory.

    It may not do so once the process is locked, so this is called before. It happens in a fork, on a page of our own,
    because the threads it starts would escape the lock.
    """
    if importlib.util.find_spec("kreuzberg") is None:
        return False
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = len(list(_by_kreuzberg(ONE_PAGE))) != 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def parse(file: BinaryIO, write: Write) -> dict[str, Any]:
    """Text of a PDF; metadata: pages, and which library read it."""
    data = file.read()
    reader = "kreuzberg" if unpacked() else "pypdf"
    pages = filled = 0
    for text in _by_kreuzberg(data) if reader == "kreuzberg" else _by_pypdf(data):
        pages += 1
        filled += bool(text.strip())
        write(f"[page {pages}]\n{text.strip()}\n\n")
    if not filled:
        raise CannotRead(
            f"has {pages} page{'s' if pages != 1 else ''} and no text in them: it was scanned or drawn; recognise its "
            "text first (for instance with `ocrmypdf`) and load the result"
        )
    return {"pages": pages, "reader": reader}


def _by_kreuzberg(data: bytes) -> Iterator[str]:
    kreuzberg = importlib.import_module("kreuzberg")
    config = kreuzberg.ExtractionConfig(
        disable_ocr=True, use_cache=False, pages=kreuzberg.PageConfig(extract_pages=True)
    )
    try:
        result = kreuzberg.extract_bytes_sync(data, "application/pdf", config)
    except kreuzberg.ParsingError as error:
        if "password" in str(error):
            raise CannotRead(LOCKED) from None
        raise
    for page in result.pages or ():
        yield page["content"]


def _by_pypdf(data: bytes) -> Iterator[str]:
    import pypdf

    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted:
        try:
            opened = reader.decrypt("")
        except pypdf.errors.DependencyError:  # AES needs a package that is not a dependency of ours
            raise CannotRead(LOCKED) from None
        if not opened:
            raise CannotRead(LOCKED)
    for page in reader.pages:
        yield page.extract_text()
