"""Directories as documents: every file that can be read as text, and why the others are left out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.documents.folder import FolderText
from fleet_rlm.agent.documents.kinds import BINARY, PROBE, kind_of
from fleet_rlm.agent.documents.parsing import parsed
from fleet_rlm.agent.documents.reading import opened, pieces
from fleet_rlm.agent.roots import Roots

FILES = 20_000
TOTAL = 512 << 20
ONE_FILE = 64 << 20
PARSED_FILES = 200
CONVERTED = BINARY | {"notebook"}
"""Kinds that are read by a parser inside a directory too; HTML stays the source it is."""

TOO_MUCH = (
    f"holds more than {FILES:,} files or {TOTAL >> 20:,} MB of text; load a directory further down, or single files"
)


async def folder_of(root: Path, roots: Roots) -> FolderText:
    """The files of a directory.

    Raises:
        DocumentError: it holds nothing readable, or too much.
    """
    folder = FolderText()
    convert = await asyncio.to_thread(_take_texts, root, roots, folder)
    for number, (name, path, kind) in enumerate(convert):
        if number >= PARSED_FILES:
            folder.skip(name, f"only the first {PARSED_FILES} files that need a parser are read; load it by itself")
            continue
        try:
            with opened(path) as file:
                async with parsed(file, name, kind) as (text, _):
                    folder.add(name, text.read().decode())
        except DocumentError as error:
            folder.skip(name, str(error))
        check_size(folder, root)
    if not folder.files:
        raise DocumentError(f"{root} holds no file that can be read as text")
    return folder


def check_size(folder: FolderText, source: object) -> None:
    """Raise DocumentError if a folder holds too much."""
    if len(folder.files) > FILES or folder.size > TOTAL:
        raise DocumentError(f"{source} {TOO_MUCH}")


def _take_texts(root: Path, roots: Roots, folder: FolderText) -> list[tuple[str, Path, str]]:
    """Add the text files; returns those a parser must read: name, where it really is, kind."""
    convert = []
    for number, (path, found) in enumerate(roots.files(root, folder.skip)):
        if number >= FILES:
            raise DocumentError(f"{root} {TOO_MUCH}")
        name = os.path.relpath(path, root)
        try:
            with opened(found) as file:
                if os.fstat(file.fileno()).st_size > ONE_FILE:
                    folder.skip(name, f"larger than {ONE_FILE >> 20} MB; load it by itself")
                    continue
                kind = kind_of(name, file.read(PROBE))
                if kind in CONVERTED:
                    convert.append((name, found, kind))
                else:
                    file.seek(0)
                    folder.add(name, "".join(pieces(file)))
        except DocumentError as error:
            folder.skip(name, str(error))
        check_size(folder, root)
    return convert
