"""Tools to look around in the roots: which files there are, where a text stands, and a few lines of one file."""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.documents.kinds import PROBE, is_binary
from fleet_rlm.agent.documents.reading import lines, opened
from fleet_rlm.agent.patterns import compiled
from fleet_rlm.agent.roots import Roots
from fleet_rlm.agent.tools.desk import Library
from fleet_rlm.core.errors import UserError

LISTED = 200
HITS = 50
LINES = 1_000
LINE_CHARS = 500
SLICE_CHARS = 18_000
SEARCHED_FILE = 64 << 20
SECONDS = 20.0


def file_tools(library: Library, roots: Roots) -> list[Callable[..., Any]]:
    """The tools over the files below the roots."""

    async def list_files(path: str = "", pattern: str = "*") -> str:
        """List files below a directory with their sizes, those whose name or path fits a pattern such as `*.py`."""
        return await _read(_listed, roots, path, pattern)

    async def find_files(pattern: str, path: str = "", name: str = "*") -> str:
        """Search text files below a directory for a regular expression; returns `path:line: text`. `name` limits the
        files, such as `*.log`."""
        return await _read(_found, roots, pattern, path, name)

    async def read_file_slice(path: str, start_line: int = 1, num_lines: int = 100) -> str:
        """Read some lines of a text file or of a loaded document (by alias), each with its number."""
        if start_line < 1 or not 1 <= num_lines <= LINES:
            raise UserError(f"lines count from 1, and at most {LINES:,} are read at once")
        if path in library.documents:
            return await _read(_slice, path, library.documents.get(path).lines(), start_line, num_lines)
        return await _read(_slice, path, _lines(roots.resolve(path)), start_line, num_lines)

    return [list_files, find_files, read_file_slice]


async def _read(work: Callable[..., str], *arguments: Any) -> str:
    """Done on a thread; what the disk refuses is an error in words."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise DocumentError(f"{error.filename or 'a file'} cannot be read: {error.strerror}") from None


def _files(roots: Roots, path: str, pattern: str) -> Iterator[tuple[str, Path]]:
    """Regular files below a directory of the roots, named relative to it, and where they really are."""
    top = roots.resolve(path or ".")
    if not top.is_dir():
        raise UserError(f"{path} is a file, not a directory; read it by read_file_slice or load_document")
    for file, found in roots.files(top):
        told = str(file.relative_to(top))
        if (fnmatch.fnmatch(file.name, pattern) or fnmatch.fnmatch(told, pattern)) and os.path.isfile(found):
            yield told, found


def _listed(roots: Roots, path: str, pattern: str) -> str:
    found = list(itertools.islice(_files(roots, path, pattern), LISTED + 1))
    lines = [f"{name} ({file.stat().st_size:,} bytes)" for name, file in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"... and more; the first {LISTED} are listed: name a directory further down, or a pattern")
    return "\n".join(lines) or f"no file fits {pattern!r}"


def _found(roots: Roots, pattern: str, path: str, name: str) -> str:
    expression = compiled(pattern)
    hits: list[str] = []
    deadline = time.monotonic() + SECONDS
    for told, file in _files(roots, path, name):
        if time.monotonic() > deadline:
            hits.append(f"... stopped after {SECONDS:g} s at {told}; search a directory further down")
            break
        for number, line in enumerate(_text_lines(file), 1):
            if expression.search(line):
                hits.append(f"{told}:{number}: {line.strip()[:LINE_CHARS]}")
                if len(hits) == HITS:
                    return "\n".join([*hits, f"... and perhaps more; the first {HITS} are shown"])
    return "\n".join(hits) or f"nothing matches {pattern!r}"


def _text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file of ordinary size; of any other, none."""
    try:
        with opened(path) as file:
            if os.fstat(file.fileno()).st_size <= SEARCHED_FILE and not is_binary(file.read(PROBE)):
                file.seek(0)
                yield from lines(file)
    except DocumentError:  # gone or forbidden since it was listed: nothing is found in it
        return


def _lines(path: Path) -> Iterator[str]:
    with opened(path) as file:
        if is_binary(file.read(PROBE)):
            raise DocumentError(f"{path} is not a text file; load_document reads other formats")
        file.seek(0)
        yield from lines(file)


def _slice(name: str, text: Iterator[str], start: int, number: int) -> str:
    out: list[str] = []
    chars = 0
    for index, line in enumerate(itertools.islice(text, start - 1, start - 1 + number), start):
        cut = f"{line[:LINE_CHARS]} ... ({len(line):,} characters)" if len(line) > LINE_CHARS else line
        out.append(f"{index}: {cut}")
        chars += len(out[-1]) + 1
        if chars > SLICE_CHARS:
            out.append(f"... read on from line {index + 1}")
            break
    return "\n".join(out) or f"{name} has no line {start}"
