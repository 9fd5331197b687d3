"""How the server and the code in a kernel speak: the names and shapes of their messages, known to both.

Requests go over the kernel's control channel, which answers while a cell runs. All that comes back comes over iopub,
where many may listen: under topics of ours, so that who wants nothing else is sent nothing else, and the Jupyter server
counts it as activity.

| message | direction | content |
|---|---|---|
| `fleet_request` | to the kernel | `{id, verb, args}` |
| `fleet_answer` | back | `{id, result}` or `{id, fault, message}` |
| `fleet_events` | back | `{run, from}`, and as one buffer the lines of the log from that number on |
| `fleet_alive` | back | `{runs: {run: next}}`: what goes on, or ended a moment ago, and the number of its next event |
"""

from __future__ import annotations

from typing import Literal

VERSION = 1

REQUEST = "fleet_request"
ANSWER = "fleet_answer"
EVENTS = "fleet_events"
ALIVE = "fleet_alive"

TOPIC = b"fleet."
"""How the topics of all that comes back begin."""

INSTALL = "__import__('fleet_rlm.server.kernel.station', fromlist=['install']).install()"
"""What a kernel executes, silently, to answer requests; doing it twice is harmless."""

Fault = Literal["refused", "not_found", "busy", "in_use", "model", "conflict", "failed"]
"""Whose fault it is that a request was not carried out."""


def topic(message: str) -> bytes:
    """The iopub topic of a message that comes back."""
    return TOPIC + message.encode()
