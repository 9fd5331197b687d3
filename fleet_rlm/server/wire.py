"""How the server and the code in a kernel speak: the names and shapes of their messages, known to both.

All of it goes over the kernel's control channel, which answers while a cell runs, to the one who asked and nobody else:
no front end is sent a run's events, and none of the server's other listeners has to take them apart. Over iopub goes
only a sign of life, because that is what the Jupyter server counts as activity.

| message | direction | content |
|---|---|---|
| `fleet_request` | to the kernel | `{id, verb, args}` |
| `fleet_answer` | back | `{id, result}` or `{id, fault, message}` |
| `fleet_events` | back | `{session, run, from}`, and as one buffer the lines of the log from that number on |
| `fleet_alive` | back, and empty over iopub | `{runs: {run: next}}`: what goes on or did just now, and its next event |
"""

from __future__ import annotations

from typing import Literal

VERSION = 1

REQUEST = "fleet_request"
ANSWER = "fleet_answer"
EVENTS = "fleet_events"
ALIVE = "fleet_alive"

INSTALL = "__import__('fleet_rlm.server.kernel.station', fromlist=['install']).install()"
"""What a kernel executes, silently, to answer requests; doing it twice is harmless."""

Fault = Literal["refused", "not_found", "busy", "in_use", "model", "conflict", "failed"]
"""Whose fault it is that a request was not carried out."""
