"""Loading: a path, a URL or a repository becomes a document of the session."""

from __future__ import annotations

import asyncio
import csv
import os
import re
from collections.abc import Container, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from fleet_rlm.agent.documents.collection import Documents, check_alias
from fleet_rlm.agent.documents.directory import folder_of
from fleet_rlm.agent.documents.document import Document
from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.folder import FolderText
from fleet_rlm.agent.documents.kinds import PARSED, PROBE, kind_of
from fleet_rlm.agent.documents.parsing import parsed
from fleet_rlm.agent.documents.reading import MARKS, opened, pieces
from fleet_rlm.agent.documents.repository import repository_folder
from fleet_rlm.agent.roots import OutsideRoots, Roots

LARGEST_TEXT = 8 << 30
LARGEST_PARSED = 512 << 20
COLUMNS = 100


class Loader:
    """Loads into one collection.

    Args:
        documents: the collection.
        roots: where files may be read; None is nowhere.
        fetcher: how URLs are fetched.
        taken: names no document may have.
    """

    def __init__(self, documents: Documents, roots: Roots | None, fetcher: Fetcher, taken: Container[str] = ()) -> None:
        self.documents = documents
        self.taken = taken
        self.roots = roots
        self.fetcher = fetcher

    async def load(self, where: str, alias: str = "") -> Document:
        """A file, a directory, or what an http(s) URL gives.

        Args:
            alias: by default made of the file's name.

        Raises:
            DocumentError: it cannot be read as text; says why.
            OutsideRoots, FetchRefused: it may not be read.
        """
        self._check(alias)
        if not where.strip():
            raise DocumentError("name what to load: a file, a directory or an http(s) URL")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", where):
            fetched = await self.fetcher.fetch(where)
            with fetched.file as file:
                name = PurePosixPath(unquote(urlsplit(fetched.url).path)).name or urlsplit(fetched.url).hostname or ""
                return await self._file(
                    file, name, fetched.url, alias or self._alias(name, fetched.url), fetched.media_type
                )
        if self.roots is None:
            raise OutsideRoots("no files of this machine may be read here; give a URL")
        path = self.roots.resolve(where)
        alias = alias or self._alias(path.name, str(path))
        if path.is_dir():
            return await self._folder(await folder_of(path, self.roots), alias, str(path), "directory")
        with opened(path) as file:
            return await self._file(file, path.name, str(path), alias, "")

    async def load_repository(self, url: str, ref: str = "", alias: str = "") -> Document:
        """A git repository at a branch, tag or commit, its default branch if none is named.

        Raises:
            DocumentError: it cannot be had, or holds too much.
            OutsideRoots, FetchRefused: it may not be read.
        """
        self._check(alias)
        folder, commit = await repository_folder(url, ref, self.roots, self.fetcher)
        name = PurePosixPath(urlsplit(url).path).name.removesuffix(".git")
        metadata = {"commit": commit, **({"ref": ref} if ref else {})}
        return await self._folder(folder, alias or self._alias(name, url), url, "repository", metadata)

    async def _file(self, file: IO[bytes], name: str, source: str, alias: str, media_type: str) -> Document:
        kind = kind_of(name, file.read(PROBE), media_type)
        size = os.fstat(file.fileno()).st_size
        largest = LARGEST_PARSED if kind in PARSED else LARGEST_TEXT
        if size > largest:
            raise DocumentError(f"{name} has {size:,} bytes, more than the {largest:,} a {kind} document may have")
        file.seek(0)
        if kind in PARSED:
            async with parsed(file, name, kind) as (text, metadata):
                return await self._keep(alias, source, kind, pieces(text), metadata)
        metadata = _columns(file, name) if kind == "csv" else {}
        return await self._keep(alias, source, kind, pieces(file), metadata)

    async def _folder(
        self, folder: FolderText, alias: str, source: str, kind: str, metadata: dict[str, Any] | None = None
    ) -> Document:
        with folder.text as text:
            text.seek(0)
            index = self.documents.keep([folder.index()]).sha256
            told = {**folder.metadata(), **(metadata or {}), "index": index}
            return await self._keep(alias, source, kind, pieces(text), told)

    async def _keep(
        self, alias: str, source: str, kind: str, text: Iterable[str], metadata: dict[str, Any]
    ) -> Document:
        kept = await asyncio.to_thread(self.documents.keep, text)
        if not kept.chars:
            raise DocumentError(f"{source} is empty")
        return self.documents.put(alias, source, kind, kept, metadata)

    def _check(self, alias: str) -> None:
        if alias:
            check_alias(alias)
        if alias in self.taken and alias not in self.documents:
            raise DocumentError(f"the name {alias!r} is that of other data of this question; choose another alias")

    def _alias(self, name: str, source: str) -> str:
        """A name for a variable, made of a file's name: that of a document from the same source, or a new one."""
        for document in self.documents:
            if document.source == source:
                return document.alias
        stem = re.sub(r"\W+", "_", Path(name).stem, flags=re.ASCII).strip("_").lower() or "document"
        stem = f"document_{stem}" if not stem[0].isalpha() else stem
        try:
            check_alias(stem)
        except DocumentError:
            stem = f"{stem}_document"
        alias, number = stem, 2
        while alias in self.documents or alias in self.taken:
            alias, number = f"{stem}_{number}", number + 1
        return alias


def _columns(file: IO[bytes], name: str) -> dict[str, Any]:
    head = file.read(1 << 16)
    file.seek(0)
    encoding = next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), "utf-8")
    line = next(iter(head.decode(encoding, "replace").splitlines()), "")[:10_000]
    delimiter = "\t" if name.lower().endswith(".tsv") else max(",;\t", key=line.count)
    return {"columns": next(csv.reader([line], delimiter=delimiter), [])[:COLUMNS]}
