"""A session in one file: a zip with its state, its documents, the files of its volume and the logs of its runs.

What is taken in is not trusted: sizes are limited before anything is unpacked, names are checked, hashes compared, and
nothing of the file is a path of this machine. An imported session has a new id, and its state is signed by this home.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet_rlm import __version__
from fleet_rlm.agent.documents import Documents
from fleet_rlm.core.disk import settle, settle_names
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import Event, RunStart, encode
from fleet_rlm.core.run import Run
from fleet_rlm.sessions.errors import ArchiveError, SessionExists
from fleet_rlm.sessions.manifest.envelope import SCHEMA
from fleet_rlm.sessions.manifest.migrations import CURRENT, migrated
from fleet_rlm.sessions.shelf import Shelf, checked_name
from fleet_rlm.sessions.state import State, blobs_of
from fleet_rlm.sessions.volumes import Volume, VolumeError
from fleet_rlm.sessions.volumes.volume import ROOTS, checked

HEAD = "session.json"
FORMAT = "fleet.export/1"

LIMIT_BYTES = 4 << 30
"""Bytes of everything in a file when it is unpacked."""

LIMIT_FILES = 50_000
LIMIT_RATIO = 200
"""How much larger than packed a large part may become; text with many repetitions reaches some dozens."""

LARGE = 10 << 20
"""Bytes from which on a part is large."""

_CHUNK = 1 << 20


def exported(state: State, volume: Volume, shelf: Shelf, path: Path) -> Path:
    """Write a session to a file, which is there whole or not at all.

    Raises:
        ArchiveError: it would lie in what is exported, take the place of something else, or cannot be written.
    """
    path = path.expanduser().absolute()
    if path.exists() and not _is_export(path):
        raise ArchiveError(f"{path} exists and is no export of a session; choose another name")
    if volume.contains(path):
        raise ArchiveError(
            f"{path} is inside of the session's own volume, which the file would hold; write it elsewhere"
        )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(partial, "xb") as whole:
            with zipfile.ZipFile(whole, "w", strict_timestamps=False) as file:
                _fill(file, state, volume, shelf)
                _check_importable(file, path)
            settle(whole)  # before it takes the place of an older one
        os.replace(partial, path)
        settle_names(path.parent)
    except OSError as error:
        raise ArchiveError(f"the session cannot be exported to {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def _is_export(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return HEAD in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _fill(file: zipfile.ZipFile, state: State, volume: Volume, shelf: Shelf) -> None:
    packed, blobs = state.packed()
    for digest in blobs_of(packed):
        saved = blobs[digest] if digest in blobs else shelf.revisions(state, writable=False).blob(digest)
        _write(file, f"blobs/{digest}", saved)
    for digest in state.documents.hashes():
        with contextlib.suppress(FileNotFoundError):  # told when the document is read
            _add(file, state.documents.directory / digest, f"documents/{digest}")
    with tempfile.TemporaryDirectory() as scratch:
        for entry in volume.tree():
            if not entry.is_folder:
                copy = volume.download(entry.path, Path(scratch) / "part")
                _add(file, copy, f"volume/{entry.path}")
                copy.unlink()
    for run in dict.fromkeys(turn.run for turn in state.turns if turn.run):
        log = shelf.home / "runs" / run / "events.jsonl"
        if log.is_file():
            _add(file, log, f"runs/{run}/events.jsonl")
    head = {
        "format": FORMAT,
        "schema": SCHEMA,
        "writer": __version__,
        "exported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        # Where values lie is this machine's own business, and a file must not tell another machine what to read.
        "state": {**packed, "values": {name: _left_out(kept) for name, kept in packed["values"].items()}},
    }
    _write(file, HEAD, json.dumps(head, ensure_ascii=False).encode())


def _write(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # of no date: zip has none before 1980


def _add(file: zipfile.ZipFile, source: Path, name: str) -> None:
    """Add a file, packed as far as an import believes it."""
    size = source.stat().st_size
    dense = size > LARGE and size > LIMIT_RATIO * _packed_size(source)
    file.write(source, name, zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED)


def _packed_size(source: Path) -> int:
    packer, size = zlib.compressobj(wbits=-zlib.MAX_WBITS), 0
    with open(source, "rb") as file:
        while piece := file.read(_CHUNK):
            size += len(packer.compress(piece))
    return size + len(packer.flush())


def _check_importable(file: zipfile.ZipFile, path: Path) -> None:
    """What this home writes it would take in again; raises ArchiveError where it would not."""
    try:
        _parts(file, path)
    except ArchiveError as error:
        raise ArchiveError(f"{error}; remove documents or files of the volume that are not needed") from None


def _left_out(kept: dict[str, Any]) -> dict[str, Any]:
    return {"type": kept["type"], "why": "is not part of an export"}


def imported(shelf: Shelf, path: Path, name: str | None) -> State:
    """Take a file in as a new session, which is there whole or not at all; returns its state.

    Raises:
        ArchiveError: it is no export, is damaged, or must not be unpacked.
        SessionExists: the name is taken.
    """
    path = path.expanduser()
    try:
        with zipfile.ZipFile(path) as file:
            parts = _parts(file, path)
            head = _head(file, path)
            return _take_in(shelf, file, parts, head, path, name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.LargeZipFile) as error:
        raise ArchiveError(f"{path} is no export of a session, or is damaged: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be imported: {error.strerror or error}") from error


def _parts(file: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """What is in the file, if all of it may be there."""
    parts = file.infolist()
    if len(parts) > LIMIT_FILES:
        raise ArchiveError(f"{path} holds {len(parts):,} files, more than the {LIMIT_FILES:,} an export may have")
    names: set[str] = set()
    total = 0
    for part in parts:
        kind = stat.S_IFMT(part.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or part.is_dir():
            raise ArchiveError(f"{path} holds {part.filename!r}, which is a link or no file; exports hold files only")
        _check_name(part.filename, path)
        if part.filename in names:
            raise ArchiveError(f"{path} holds {part.filename!r} twice")
        names.add(part.filename)
        total += part.file_size
        if part.file_size > LARGE and part.file_size > LIMIT_RATIO * max(part.compress_size, 1):
            raise ArchiveError(
                f"{part.filename!r} in {path} would unpack to {part.file_size:,} bytes: it is a zip bomb"
            )
    if total > LIMIT_BYTES:
        raise ArchiveError(f"{path} would unpack to {total:,} bytes, more than the {LIMIT_BYTES:,} an export may have")
    return parts


def _check_name(name: str, path: Path) -> None:
    folder, _, rest = name.partition("/")
    try:
        parts = checked(rest, roots=ROOTS) if folder == "volume" else checked(f"x/{rest}", roots=("x",))
    except VolumeError as error:
        raise ArchiveError(f"{path} holds {name!r}, which leads out of its place: {error}") from error
    plain = name == "/".join((folder, *(parts if folder == "volume" else parts[1:])))
    known = {"blobs": 1, "documents": 1, "runs": 2, "volume": len(parts)}
    fits = name == HEAD or (plain and folder in known and len(rest.split("/")) == known[folder] and bool(rest))
    if not fits:
        raise ArchiveError(f"{path} holds {name!r}, which is no part of an export")


def _head(file: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        head = json.loads(b"".join(_pieces(file, HEAD)))
        version = int(head["schema"].partition("/")[2])
        if head["format"] != FORMAT or not isinstance(head["state"], dict):
            raise ArchiveError(f"{path} has the format {head['format']!r}; this fleet-rlm reads {FORMAT}: upgrade it")
        if version > CURRENT:
            raise ArchiveError(f"{path} has schema {head['schema']}, this fleet-rlm reads up to {SCHEMA}: upgrade it")
        return {**head, "state": migrated(version, head["state"])}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{path} is no export of a session: {HEAD} is missing or unreadable ({error})") from error


def _take_in(
    shelf: Shelf,
    file: zipfile.ZipFile,
    parts: list[zipfile.ZipInfo],
    head: dict[str, Any],
    path: Path,
    name: str | None,
) -> State:
    told = head["state"]
    before = {"id": told["id"], "name": told["name"], "exported_at": head["exported_at"], "origin": told["origin"]}
    _check_lineage(before, path)
    wanted = checked_name(name or str(told["name"]))
    if shelf.has(wanted):
        itself = " (it is an export of that very session)" if shelf.find(wanted).id == told["id"] else ""
        raise SessionExists(
            f"there is a session {wanted!r} already{itself}",
            "import it under another name, Session.import_(FILE, name=NAME), or delete that one",
        )
    fresh = shelf.new(wanted)
    documents, volume = shelf.documents(fresh), shelf.volume(fresh.volume)
    made: list[Path] = []
    try:
        blobs = {part.filename[6:]: b"".join(_pieces(file, part.filename)) for part in parts if _is(part, "blobs")}
        for digest, data in blobs.items():
            _check_hash(digest, hashlib.sha256(data).hexdigest(), path)
        for part in parts:
            if _is(part, "documents"):
                _unpack(file, part.filename, documents / part.filename[10:], path, part.filename[10:])
            elif _is(part, "volume"):
                with tempfile.TemporaryDirectory() as scratch:
                    copy = Path(scratch) / "part"
                    _unpack(file, part.filename, copy, path)
                    volume.write(part.filename[7:], copy)
        if documents.is_dir():
            settle_names(documents)
        try:
            state = State.unpacked(
                {**told, "id": fresh.id, "name": wanted, "volume": fresh.volume, "origin": before},
                lambda digest: blobs[digest],
                documents,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArchiveError(f"the state in {path} is damaged or incomplete ({error!r})") from error
        _check_documents(state.documents, path)
        state.sandbox = state.pending = None
        state.turns.unseal()
        _runs(file, parts, state, shelf, path, made)
        packed, needed = state.packed()
        revision = shelf.revisions(state).save(packed, needed)
        shelf.note(state, revision.created_at)
    except BaseException:
        with contextlib.suppress(OSError):  # what is told is why it was not imported
            shelf.volumes.remove(fresh.volume)
        for directory in made:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return state


def _check_lineage(before: dict[str, Any], path: Path) -> None:
    """A session may come from one that came from another, but from itself only in a file somebody made."""
    seen: set[str] = set()
    one: Any = before
    while isinstance(one, dict):
        if one.get("id") in seen or len(seen) > 1_000:
            raise ArchiveError(f"{path} says that session {one.get('id')!r} was imported from itself: it is circular")
        seen.add(str(one.get("id")))
        one = one.get("origin")


def _check_documents(documents: Documents, path: Path) -> None:
    for digest in documents.hashes():
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ArchiveError(f"{path} has a document kept under {digest[:80]!r}, which is no hash")


def _runs(
    file: zipfile.ZipFile, parts: list[zipfile.ZipInfo], state: State, shelf: Shelf, path: Path, made: list[Path]
) -> None:
    """Take in the logs of the runs, in directories that are added to `made`; a run this home has already stays."""
    mine = {turn.run for turn in state.turns}
    for part in parts:
        if not _is(part, "runs"):
            continue
        _, run, name = part.filename.split("/")
        target = shelf.home / "runs" / run / name
        if run not in mine or name != "events.jsonl" or target.parent.exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / name
            _unpack(file, part.filename, copy, path)
            events = _readable(copy, run, path)
            target.parent.mkdir(mode=0o700, parents=True)
            made.append(target.parent)
            for event in events:
                if isinstance(event, RunStart):
                    event.session = state.id
            with open(target, "xb") as log:
                log.writelines(encode(event) + b"\n" for event in events)
                settle(log)
            settle_names(target.parent)


def _readable(log: Path, run: str, path: Path) -> list[Event]:
    try:
        found = Run.from_jsonl(log)
    except UserError as error:
        raise ArchiveError(f"the log of run {run} in {path} is damaged: {error}") from error
    if found.id != run:
        raise ArchiveError(f"the log of run {run} in {path} is that of run {found.id}")
    return found.events()


def _is(part: zipfile.ZipInfo, folder: str) -> bool:
    return part.filename.startswith(f"{folder}/")


def _unpack(file: zipfile.ZipFile, name: str, to: Path, path: Path, digest: str | None = None) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = hashlib.sha256()
    with open(to, "xb") as target:
        for piece in _pieces(file, name):
            seen.update(piece)
            target.write(piece)
        if digest is not None:
            _check_hash(digest, seen.hexdigest(), path)
            settle(target)


def _check_hash(wanted: str, found: str, path: Path) -> None:
    if wanted != found:
        raise ArchiveError(f"{path} is damaged: what is kept as {wanted[:12]} has another hash")


def _pieces(file: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """The content of a part; zipfile unpacks no more than its head says, and tells if that was not all."""
    with file.open(name) as part:
        while piece := part.read(_CHUNK):
            yield piece
