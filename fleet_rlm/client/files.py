"""Files at a server: those that runs made, and those in volumes, which outlive kernels."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fleet_rlm.client.connection import Resource, part
from fleet_rlm.client.records import Artifact, Node, Page, Preview, Tree, Volume

API = "api/v1/"
FILE = f"{API}runtime/volume/file"


class AsyncArtifacts(Resource):
    """Files that runs made."""

    async def list(self, run: str | None = None, *, limit: int = 50, offset: int = 0) -> Page[Artifact]:
        """Those of a run, or of all, the latest first."""
        query = {"run": run, "limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}artifacts", Page[Artifact], query=query)

    async def download(self, run: str, artifact: str, to: str | Path) -> Path:
        """Write one to a file."""
        return await self._connection.download(f"{API}artifacts/{part(run)}/{part(artifact)}", Path(to))


class AsyncVolumes(Resource):
    """Files that outlive kernels. A volume has the id of its session; paths are such as memory/notes.md."""

    async def list(self, *, limit: int = 50, offset: int = 0) -> Page[Volume]:
        """All volumes, by name."""
        query = {"limit": limit, "offset": offset}
        return await self._connection.ask("GET", f"{API}runtime/volumes", Page[Volume], query=query)

    async def tree(self, volume: str, path: str = "", *, max_depth: int = 10) -> Tree:
        """What is below a folder, so many levels deep."""
        query = {"volume": volume, "path": path, "max_depth": max_depth}
        return await self._connection.ask("GET", f"{API}runtime/volume/tree", Tree, query=query)

    async def preview(self, volume: str, path: str, *, max_bytes: int = 200_000) -> Preview:
        """The beginning of a file, as text where it is text."""
        query = {"volume": volume, "path": path, "max_bytes": max_bytes}
        return await self._connection.ask("GET", FILE, Preview, query=query)

    async def upload(self, volume: str, path: str, data: bytes | Path) -> Node:
        """Write a file whole, up to 64 MiB; `data` is what it holds, or the file that is copied.

        Raises:
            TooLarge: it is longer, or the volume is full.
        """
        content = await asyncio.to_thread(data.read_bytes) if isinstance(data, Path) else data
        query = {"volume": volume, "path": path}
        return await self._connection.ask("PUT", FILE, Node, query=query, content=content)

    async def download(self, volume: str, path: str, to: str | Path) -> Path:
        """Copy a file from there."""
        query = {"volume": volume, "path": path}
        return await self._connection.download(f"{API}runtime/volume/download", Path(to), query)

    async def delete(self, volume: str, path: str) -> None:
        """Remove a file, or a folder with all it holds."""
        await self._connection.ask("DELETE", FILE, Any, query={"volume": volume, "path": path})
