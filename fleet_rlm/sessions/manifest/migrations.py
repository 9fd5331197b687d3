"""From the state of an older schema to the current one: one pure function per step, proven by golden manifests.

A state is never rewritten on disk for this; the next save writes the current schema beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

CURRENT = 3
"""The schema written now. 2: memory says who edited it, turns name their run, and old turns and buffers are blobs.
3: turns say which tool calls of theirs changed the session."""

State = dict[str, Any]


def _to_2(state: State) -> State:
    """Schema 1 kept bare sections of memory, and all turns and buffers in the manifest itself."""
    turns = [
        {**turn, "status": "ok", "run": None, "error": None, "at": state["created_at"]} for turn in state.pop("turns")
    ]
    return {
        **state,
        "memory": {"sections": state["memory"], "edits": []},
        "turns": {"segments": [], "tail": turns},
        "buffers": {"inline": state["buffers"]},
        "artifacts": [],
        "origin": None,
    }


def _to_3(state: State) -> State:
    """Schema 2 did not say which tool calls had changed the session."""
    pending = state.get("pending")
    return {**state, "pending": pending and {**pending, "effects": []}}


STEPS: dict[int, Callable[[State], State]] = {1: _to_2, 2: _to_3}
"""Schema to the function that makes the next one of it."""


def migrated(version: int, state: State) -> State:
    """The state in the current schema."""
    state = copy.deepcopy(state) if version < CURRENT else state
    for step in range(version, CURRENT):
        state = STEPS[step](state)
    return state
