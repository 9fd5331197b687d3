"""Tools for documents: load, list, choose, cut into chunks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

from fleet_rlm.agent.documents import Document
from fleet_rlm.agent.documents.chunks import SIZE, Chunk, chunks
from fleet_rlm.agent.tools.desk import Desk, Library
from fleet_rlm.rlm.describe import describe

PREVIEW = 600
LISTED = 40
"""Chunks of which the title is told."""


def document_tools(desk: Desk, library: Library) -> list[Callable[..., Any]]:
    """The tools over a session's documents."""

    async def load_document(path: str, alias: str = "") -> str:
        """Load a file, a directory or an http(s) URL as a document: text, Markdown, HTML, CSV, JSON, Parquet,
        notebooks, PDF, docx, pptx, xlsx. `alias` names it, and its variable in the sandbox; by default it is made of
        the file's name. Returns what was loaded and how it begins."""
        return _loaded(await library.load(path, alias))

    async def load_repository(repo_url: str, repo_ref: str = "", alias: str = "") -> str:
        """Load the text files of a git repository (an https URL, or a local path) at a branch, tag or commit, by
        default its main branch. In the sandbox it is a mapping from path to text."""
        return _loaded(await library.load_repository(repo_url, repo_ref, alias))

    async def list_documents() -> str:
        """List the loaded documents; `*` marks the active one, which is meant where no document is named."""
        active = library.documents.active
        lines = [f"{'*' if one is active else '-'} {_line(one)}" for one in library.documents]
        return "\n".join(lines) or "no document is loaded"

    async def set_active_document(alias: str) -> str:
        """Make a loaded document the one that is meant where none is named."""
        return f"the active document is {_line(library.documents.set_active(alias))}"

    async def chunk_document(
        document: str = "",
        strategy: Literal["size", "headers", "timestamps", "json_keys"] = "size",
        size: int = SIZE,
        overlap: int = 0,
        pattern: str = "",
    ) -> str:
        """Cut a document into chunks: by "size" in characters, at "headers", into whole log entries by "timestamps",
        or at "json_keys". They become the list of texts `<alias>_chunks` in the sandbox, for code and sub-queries.
        `pattern` is a regular expression for what begins a section or entry, in the place of the usual."""
        found = await library.get_or_load(document)
        made = await asyncio.to_thread(_cut, found, strategy, size, overlap, pattern)
        name = f"{found.alias}_chunks"
        await desk.put(name, [chunk.text for chunk in made])
        titles = [f"{number}: {chunk.title}" for number, chunk in enumerate(made[:LISTED])]
        more = [f"... and {len(made) - LISTED:,} more"] if len(made) > LISTED else []
        longest = max((len(chunk.text) for chunk in made), default=0)
        told = f"`{name}` holds {len(made):,} chunks of at most {longest:,} characters:"
        return "\n".join([told, *titles, *more])

    return [load_document, load_repository, list_documents, set_active_document, chunk_document]


def _cut(document: Document, strategy: Any, size: int, overlap: int, pattern: str) -> list[Chunk]:
    return chunks(document.text, strategy, size=size, overlap=overlap, pattern=pattern)


def _loaded(document: Document) -> str:
    described = describe(document.alias, document.value(), PREVIEW)
    return f"loaded {_line(document)}\n{described['size']}\n{described['preview']}"


def _line(document: Document) -> str:
    told = document.told()
    named = f"{told.pop('alias')}: {told.pop('kind')}, {told.pop('chars'):,} characters, from {told.pop('source')}"
    gone = "" if document.is_kept else "; its text is gone, load it again"
    return f"{named}, {json.dumps(told, ensure_ascii=False)}{gone}"
