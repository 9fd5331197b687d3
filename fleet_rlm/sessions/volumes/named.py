"""Volumes by name: those of one home, wherever they are, and which of them a session lives in."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.volumes.local import LocalVolume
from fleet_rlm.sessions.volumes.volume import Quota, Volume

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_name(text: object) -> bool:
    """Whether a volume can be called so."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


class Volumes(ABC):
    """The volumes of one home."""

    @abstractmethod
    def names(self) -> list[str]:
        """Those there are, sorted. Raises OSError where they cannot be listed now."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a volume with all it holds; one that is not there is no fault. Raises OSError."""

    @abstractmethod
    def _named(self, name: str, quota: Quota | None) -> Volume:
        """The volume of a name that was checked."""

    def named(self, name: str, quota: Quota | None = None) -> Volume:
        """A volume by name; it need not exist yet.

        Raises:
            UserError: it cannot be the name of a volume.
        """
        if not is_name(name):
            raise UserError(f"{name!r} cannot be the name of a volume; use letters, digits, '.', '_' and '-'")
        return self._named(name, quota)

    def sessions(self) -> dict[str, str]:
        """The sessions that live in them: id to the name of the volume. Raises OSError."""
        return {session: name for name in self.names() for session in self.named(name).sessions()}


class LocalVolumes(Volumes):
    """Directories of this machine, `home/volumes/<name>`."""

    def __init__(self, home: Path) -> None:
        self._directory = home / "volumes"

    def names(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if is_name(path.name) and path.is_dir())

    def remove(self, name: str) -> None:
        directory = self._directory / self.named(name).name
        if directory.exists():
            shutil.rmtree(directory)

    def _named(self, name: str, quota: Quota | None) -> LocalVolume:
        return LocalVolume(name, self._directory / name, quota)
