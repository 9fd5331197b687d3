"""A scripted model server under the name that a run takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fleet_rlm as fleet
from tests.twins.lm_server import LMServer
from tests.twins.scripts import by_role, rlm_action

CONTEXT = "".join(f"line {i}: nothing here\n" for i in range(20_000))


@contextmanager
def model(**roles: Any) -> Iterator[tuple[LMServer, str]]:
    """The server, and its model's name."""
    with LMServer(by_role(**roles)) as server:
        yield server, f"m@{server.base_url}"


def submitted(*cells: str, bare: Any = "ok", context: Any = CONTEXT, **options: Any) -> tuple[fleet.Run, LMServer]:
    """A run of one RLM whose model writes these cells in turn."""
    with model(rlm_action=[rlm_action("-", cell) for cell in cells], bare=bare) as (server, lm):
        return fleet.run("What?", context=context, lm=lm, mode="rlm_only", **options), server
