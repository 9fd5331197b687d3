"""Both kinds of storage, and what is shared by tests of what lies in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleet_rlm.sessions.manifest import LocalStorage, ObjectStorage, Revisions, Signer, Storage
from fleet_rlm.sessions.manifest.storage import DirectoryStorage

STORAGES: dict[str, type[DirectoryStorage]] = {"local": LocalStorage, "object": ObjectStorage}


class MemoryStorage(Storage):
    """A service without directories, as a volume far away has one: a name, once created, is never written again."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def __str__(self) -> str:
        return "the service"

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        if name not in self._files:
            raise FileNotFoundError(name)
        return self._files[name]

    def delete(self, name: str) -> None:
        self._files.pop(name, None)

    def create(self, name: str, data: bytes) -> None:
        if self._files.setdefault(name, data) is not data:
            raise FileExistsError(name)


SIGNER = Signer(b"k" * 32)


def blobs_of(state: dict[str, Any]) -> Iterable[str]:
    blobs: list[str] = state.get("blobs", [])
    return blobs


def revisions(kind: str, directory: Path, signer: Signer = SIGNER, session: str = "s-1") -> Revisions:
    return Revisions(STORAGES[kind](directory), signer, session, blobs_of)
