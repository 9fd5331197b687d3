"""All that survives of a session, and its two forms: Python objects while it is open, plain JSON in a manifest."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_rlm.agent.buffers import Buffers
from fleet_rlm.agent.documents import Documents
from fleet_rlm.agent.effects import Effects
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.sessions.turns import Turns


@dataclass(kw_only=True)
class State:
    """A session's state.

    Attributes:
        id, name: the name can be changed, the id never.
        created_at: UTC in ISO 8601.
        volume: name of its volume.
        turns, memory, documents, buffers: as their classes say.
        values: what the user gave in earlier turns, by name: how it is kept (`fleet_rlm.agent.kept`).
        artifacts: files that runs left in the volume: path, mime, bytes, sha256, run, span.
        sandbox: what is known of the sandbox of the last turn.
        pending: the question and the run of a turn that has not ended.
        effects: which tool calls have changed buffers and memory already.
        origin: the session this one was imported from, its name and when it was exported; None if it was not.
        redactor: that of the latest turn, which knows the keys of its models too; not kept.
    """

    id: str
    name: str
    created_at: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    )
    volume: str
    turns: Turns = field(default_factory=Turns)
    memory: CoreMemory = field(default_factory=CoreMemory)
    documents: Documents = field(default_factory=Documents)
    buffers: Buffers = field(default_factory=Buffers)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    sandbox: dict[str, Any] | None = None
    pending: dict[str, Any] | None = None
    origin: dict[str, Any] | None = None
    effects: Effects = field(default_factory=Effects)
    redactor: Redactor = field(default_factory=Redactor)

    def packed(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The state as a manifest keeps it, without secrets, and the blobs it needs by hash."""
        clean, pending = self.redactor.renewed().value, self.pending
        with self.effects.lock:
            lists, memory = clean(self.buffers.state()), clean(self.memory.state())
            if pending is not None:
                pending = {**pending, "effects": self.effects.of(pending["run"])}
        data = json.dumps(lists, ensure_ascii=False).encode()
        digest = hashlib.sha256(data).hexdigest()
        turns = self.turns.state()
        state: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "created_at": self.created_at,
            "volume": self.volume,
            "turns": turns,
            "memory": memory,
            "documents": self.documents.state(),
            "buffers": {"blob": digest} if lists else {"inline": {}},
            "values": self.values,
            "artifacts": self.artifacts,
            "sandbox": self.sandbox,
            "pending": pending,
            "origin": self.origin,
        }
        return state, {**self.turns.unsaved(), **({digest: data} if lists else {})}

    @classmethod
    def unpacked(cls, state: dict[str, Any], blob: Callable[[str], bytes], documents: Path) -> State:
        """The state of a manifest.

        Args:
            blob: reads a blob by its hash.
            documents: the directory with the texts of the documents.
        """
        lists = json.loads(blob(state["buffers"]["blob"])) if "blob" in state["buffers"] else state["buffers"]["inline"]
        return cls(
            **{
                **state,
                "turns": Turns.from_state(state["turns"], blob),
                "memory": CoreMemory.from_state(state["memory"]),
                "documents": Documents.from_state(state["documents"], documents),
                "buffers": Buffers.from_state(lists),
            }
        )


def texts_of(state: dict[str, Any]) -> Iterator[str]:
    """The hashes of the texts that the documents of a packed state need."""
    for document in state["documents"]["documents"]:
        yield document["sha256"]
        if "index" in document["metadata"]:
            yield document["metadata"]["index"]


def blobs_of(state: dict[str, Any]) -> Iterator[str]:
    """The hashes of the blobs a packed state needs."""
    yield from (segment["sha256"] for segment in state["turns"]["segments"])
    if "blob" in state["buffers"]:
        yield state["buffers"]["blob"]
