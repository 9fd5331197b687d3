"""The saved state of a session: immutable, signed revisions on durable storage.

Knows bytes, hashes and schemas; no agent, no sandbox. What a state means is `fleet_rlm.sessions.state`'s.
"""

from fleet_rlm.sessions.manifest.envelope import SCHEMA, Signer
from fleet_rlm.sessions.manifest.revisions import Loaded, Revisions
from fleet_rlm.sessions.manifest.storage import LocalStorage, ObjectStorage, Storage, storage_at

__all__ = ["SCHEMA", "Loaded", "LocalStorage", "ObjectStorage", "Revisions", "Signer", "Storage", "storage_at"]
