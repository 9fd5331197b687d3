"""Both kinds of storage, and what is shared by tests of what lies in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleet_rlm.sessions.manifest import LocalStorage, ObjectStorage, Revisions, Signer, Storage

STORAGES: dict[str, type[Storage]] = {"local": LocalStorage, "object": ObjectStorage}

SIGNER = Signer(b"k" * 32)


def blobs_of(state: dict[str, Any]) -> Iterable[str]:
    blobs: list[str] = state.get("blobs", [])
    return blobs


def revisions(kind: str, directory: Path, signer: Signer = SIGNER, session: str = "s-1") -> Revisions:
    return Revisions(STORAGES[kind](directory), signer, session, blobs_of)
