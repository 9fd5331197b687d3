"""Memory files in a dict: the smallest thing that keeps the contract of a volume."""

from __future__ import annotations

from fleet_rlm.core.errors import UserError


class MemoryFiles:
    """See `fleet_rlm.agent.workspace.VolumeFiles`."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def alist(self, folder: str = "") -> list[str]:
        return sorted(path for path in self.texts if path.startswith(folder))

    async def aread(self, path: str) -> str:
        if path not in self.texts:
            raise UserError(f"there is no memory file {path!r}")
        return self.texts[path]

    async def awrite(self, path: str, text: str) -> None:
        self.texts[path] = text

    async def adelete(self, path: str) -> None:
        del self.texts[path]
