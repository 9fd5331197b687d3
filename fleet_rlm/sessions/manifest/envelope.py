"""The envelope of one revision: canonical JSON that names its schema and its predecessor, hashed and signed.

The signature is by a key of the home, so that what runs with the session (generated code, tools, a shared volume)
cannot write a state that we take for our own.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_rlm import __version__
from fleet_rlm.sessions.errors import ManifestTampered, ManifestTooNew, ManifestUnreadable
from fleet_rlm.sessions.manifest.migrations import CURRENT, migrated
from fleet_rlm.sessions.manifest.storage import LocalStorage

SCHEMA = f"fleet.session/{CURRENT}"

KEY = "sessions.key"


def canonical(value: Any) -> bytes:
    """The one way to write a value as bytes. Raises ValueError for what is not JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


@dataclass(frozen=True)
class Signer:
    """Signs and verifies with one key."""

    key: bytes

    @classmethod
    def of_home(cls, home: Path) -> Signer:
        """The key of a home, made at its first use; only its user can read it.

        Raises:
            OSError: it can be neither read nor made.
        """
        keys = LocalStorage(home / "keys")
        with contextlib.suppress(FileNotFoundError):
            return cls(keys.read(KEY))
        with contextlib.suppress(FileExistsError):  # another process makes it at this moment
            keys.create(KEY, secrets.token_bytes(32))
        return cls(keys.read(KEY))

    @property
    def name(self) -> str:
        """Tells keys apart without telling the key."""
        return hashlib.sha256(b"fleet.session" + self.key).hexdigest()[:12]

    def sign(self, data: bytes) -> str:
        """The signature of bytes."""
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Revision:
    """A verified revision, its state migrated to the schema of this program.

    Attributes:
        rev: its number, from 1.
        sha256: of its body, which the next one names.
        writer: version, host and pid of whoever wrote it.
        schema: the schema it was written in.
    """

    rev: int
    sha256: str
    created_at: str
    writer: dict[str, Any]
    schema: str
    state: dict[str, Any]


def sealed(signer: Signer, session: str, rev: int, previous: str | None, at: str, state: dict[str, Any]) -> bytes:
    """The bytes of a revision."""
    body = {
        "schema": SCHEMA,
        "session": session,
        "rev": rev,
        "prev_sha256": previous,
        "created_at": at,
        "writer": {"version": __version__, "host": socket.gethostname(), "pid": os.getpid()},
        "key": signer.name,
        "state": state,
    }
    digest = hashlib.sha256(canonical(body)).hexdigest()
    return canonical({**body, "sha256": digest, "hmac": signer.sign(digest.encode())})


def opened(signer: Signer, session: str, rev: int, data: bytes) -> Revision:
    """Read and verify a revision.

    Raises:
        ManifestUnreadable: it is no manifest, such as one that was cut.
        ManifestTooNew: its schema is later than ours.
        ManifestTampered: it was changed, was signed by another key, or belongs elsewhere.
    """
    where = f"revision {rev} of session {session}"
    try:
        told = json.loads(data)
        schema = str(told["schema"])
        family, _, number = schema.partition("/")
        version = int(number)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestUnreadable(f"{where} is cut or damaged ({type(error).__name__})") from error
    if family != "fleet.session" or version < 1:
        raise ManifestUnreadable(f"{where} is of an unknown kind, {schema!r}")
    if version > CURRENT:
        raise ManifestTooNew(
            f"{where} has schema {schema}, and this fleet-rlm reads up to {SCHEMA}; it was left alone: upgrade "
            "fleet-rlm"
        )
    if told.get("key") != signer.name:
        raise ManifestTampered(
            f"{where} is signed with another key than that of this home (keys/sessions.key); put that key back, or "
            "import an export of the session"
        )
    digest, signature = str(told.pop("sha256", "")), str(told.pop("hmac", ""))
    if not hmac.compare_digest(signature, signer.sign(digest.encode())):
        raise ManifestTampered(f"{where} was changed by somebody else: its signature is wrong")
    if hashlib.sha256(canonical(told)).hexdigest() != digest:
        raise ManifestTampered(f"{where} was changed by somebody else: it is not what was signed")
    if (told["session"], told["rev"]) != (session, rev):
        raise ManifestTampered(f"{where} is a copy of revision {told['rev']} of session {told['session']}")
    state = migrated(version, told["state"])
    return Revision(rev, digest, told["created_at"], told["writer"], schema, state)
