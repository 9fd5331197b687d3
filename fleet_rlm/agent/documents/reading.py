"""Text files as text, in pieces: a file of any size passes through a few megabytes of memory once.

UTF-8 (with or without a mark), UTF-16 and UTF-32 by their marks, and Latin-1 where it is none of them, because then
every byte has a meaning and nothing is dropped.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.core import inside

PIECE = 1 << 22
LONGEST_LINE = 1 << 20

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def opened(path: Path) -> IO[bytes]:
    """A regular file, open. No link is followed, at its end or on the way: the path was resolved when it was checked
    against the roots, and a folder of it may have become a link since.

    Raises:
        DocumentError: it is something else, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # opening a pipe or device may wait, or wake whoever is there
            raise DocumentError(f"{path} is not a regular file")
        fd = inside.opened(Path(path.anchor), path.parts[1:])
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise DocumentError(f"{path} was replaced by a link while it was opened; load it again") from None
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from None
    return open(fd, "rb")


def encoding_of(file: IO[bytes]) -> str:
    """The encoding of an open file, which is read once to know that it is UTF-8."""
    head = file.read(4)
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while data := file.read(PIECE):
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def lines(file: IO[bytes], encoding: str = "") -> Iterator[str]:
    """The lines of an open file without their ends; of one that is longer than a megabyte, its beginning."""
    line = ""
    for piece in pieces(file, encoding):
        first, *others = piece.split("\n")
        line += first[: LONGEST_LINE - len(line)]
        for other in others:
            yield line.removesuffix("\r")
            line = other[:LONGEST_LINE]
    if line:
        yield line.removesuffix("\r")


def pieces(file: IO[bytes], encoding: str = "") -> Iterator[str]:
    """The text of an open file, piece by piece, line ends as they are; the encoding is found out if not given."""
    decoder = codecs.getincrementaldecoder(encoding or encoding_of(file))("replace")
    file.seek(0)
    while data := file.read(PIECE):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)
