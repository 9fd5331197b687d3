"""The sessions of one home: which there are, by which name, and where each one lies.

An entry is a small file that may be lost or cut: everything it says is in the session's manifest too, and it is made
again from there.

    FLEET_HOME/sessions/<id>.json, <id>.lease
    FLEET_HOME/volumes/<volume>/meta/sessions/<id>/     manifests, and the texts of documents
    FLEET_HOME/volumes/<volume>/{memory,artifacts,buffers}/
    FLEET_HOME/keys/sessions.key
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.settings import Settings
from fleet_rlm.sessions.errors import ManifestError, ManifestMissing, SessionExists, SessionNotFound
from fleet_rlm.sessions.lease import Lease
from fleet_rlm.sessions.manifest import Revisions, Signer
from fleet_rlm.sessions.state import State, blobs_of
from fleet_rlm.sessions.volumes import LocalVolumes, Quota, Volume, VolumeError, Volumes
from fleet_rlm.sessions.volumes.named import is_name

NAME_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a list tells of a session.

    Attributes:
        id, name, volume: as in its state.
        turns: how many it has.
        updated_at: when it was saved last, UTC in ISO 8601.
    """

    id: str
    name: str
    volume: str
    turns: int = 0
    updated_at: str = ""


class Shelf:
    """The sessions of a home.

    Args:
        home: by default that of the environment's settings.
        volumes: where they live; by default directories of the home.
    """

    def __init__(self, home: Path | None = None, volumes: Volumes | None = None) -> None:
        self.home = home or Settings.from_environ().home
        self.volumes = volumes or LocalVolumes(self.home)

    def entries(self) -> list[Entry]:
        """All sessions, the one saved last first."""
        noted = {path.stem for path in self.home.glob("sessions/*.json")}
        live: dict[str, str] = {}
        with contextlib.suppress(OSError):  # what can be told is told; opening one tells what is wrong
            live = self.volumes.sessions()
        found = (self._noted(one) or self._restored(one, live.get(one)) for one in noted | live.keys())
        entries = [entry for entry in found if entry is not None]
        return sorted(entries, key=lambda entry: (entry.updated_at, entry.id), reverse=True)

    def find(self, name: str) -> Entry:
        """The session of a name or an id.

        Raises:
            SessionNotFound: there is none.
        """
        entries = self.entries()
        for entry in (*(one for one in entries if one.name == name), *(one for one in entries if one.id == name)):
            return entry
        near = difflib.get_close_matches(name, [entry.name for entry in entries], n=1)
        hint = (
            f"; did you mean {near[0]!r}?" if near else "; fleet sessions, or %fleet session list, shows what there is"
        )
        raise SessionNotFound(f"there is no session {name!r}{hint}")

    def has(self, name: str) -> bool:
        """Whether a session has this name."""
        return any(entry.name == name for entry in self.entries())

    def new(self, name: str, volume: str | None = None) -> State:
        """The empty state of a session that does not exist yet; nothing is written.

        Raises:
            SessionExists: the name is taken.
            UserError: it cannot be a name.
        """
        name = checked_name(name)
        if self.has(name):
            raise SessionExists(f"there is a session {name!r} already", "open it, or take another name")
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "session"
        identity = f"{slug}-{secrets.token_hex(4)}"
        return State(id=identity, name=name, volume=volume or identity)

    def volume(self, name: str, quota: Quota | None = None) -> Volume:
        """A volume by name; it need not exist yet. Raises UserError if it cannot be the name of one."""
        return self.volumes.named(name, quota)

    def documents(self, entry: Entry | State) -> Path:
        """The directory of the texts of a session's documents, which sandboxes map and therefore is a local one."""
        return self.volume(entry.volume).documents(entry.id)

    def revisions(self, entry: Entry | State, *, writable: bool = True) -> Revisions:
        """A session's manifests.

        Raises:
            OSError: there is no key of this home and none can be made, or the place cannot be written.
        """
        storage = self.volume(entry.volume).meta(entry.id, writable=writable)
        return Revisions(storage, Signer.of_home(self.home), entry.id, blobs_of)

    def lease(self, entry: Entry | State) -> Lease:
        """The lock of a session."""
        return Lease(self.home / "sessions" / f"{entry.id}.lease", entry.name)

    def note(self, state: State, updated_at: str) -> None:
        """Keep what a list tells. Raises OSError."""
        entry = Entry(id=state.id, name=state.name, volume=state.volume, turns=len(state.turns), updated_at=updated_at)
        path = self.home / "sessions" / f"{state.id}.json"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f".{secrets.token_hex(8)}")
        try:
            partial.write_text(json.dumps(asdict(entry)), encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def forget(self, entry: Entry | State, runs: Collection[str] = ()) -> None:
        """Delete a session: its manifests, documents, runs and their files, and its volume if that is its own.

        Raises:
            OSError: something cannot be removed.
        """
        volume = self.volume(entry.volume)
        if entry.volume == entry.id:
            self.volumes.remove(volume.name)
        else:
            volume.forget(entry.id)
            for run in runs:
                with contextlib.suppress(VolumeError):  # it has made none
                    volume.delete(f"artifacts/{run}")
        for run in runs:
            shutil.rmtree(self.home / "runs" / run, ignore_errors=True)
        for path in (self.home / "sessions").glob(f"{entry.id}.*"):
            path.unlink(missing_ok=True)

    def _noted(self, identity: str) -> Entry | None:
        """What was kept for lists; None where that is lost or damaged."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            entry = Entry(**json.loads((self.home / "sessions" / f"{identity}.json").read_bytes()))
            if entry.id == identity and is_name(entry.volume):
                return entry
        return None

    def _restored(self, identity: str, volume: str | None) -> Entry | None:
        """The same from the session's manifest in the volume it lives in; None if it was never saved."""
        if volume is None:
            return None
        lost = Entry(id=identity, name=identity, volume=volume)
        try:
            revision = self.revisions(lost, writable=False).load().revision
        except ManifestMissing:
            return None
        except (ManifestError, OSError):
            return lost  # opening it tells what is wrong
        turns = revision.state["turns"]
        count = sum(segment["count"] for segment in turns["segments"]) + len(turns["tail"])
        return replace(lost, name=revision.state["name"], turns=count, updated_at=revision.created_at)


def checked_name(name: str) -> str:
    """The name without white space around it.

    Raises:
        UserError: it is empty, too long, or has characters no list can show.
    """
    name = name.strip()
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise UserError(f"a session's name has 1 to {NAME_CHARS} printable characters, not {name[:40]!r}")
    return name
