"""What a user's program looks like to an editor: `test_types` has mypy read it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import assert_type

from fleet_rlm.client import AsyncClient, Client, TooMany
from fleet_rlm.client.records import Page, Run, Session, Span, Started
from fleet_rlm.core.events import Event


def blocking() -> None:
    """The blocking face."""
    with Client("http://127.0.0.1:8000", token="t") as fleet:
        assert_type(fleet, Client)
        started = fleet.runs.start("Why?", session="one", context_paths=["logs"], mode="auto", budget=40)
        assert_type(started, Started)
        assert_type(fleet.runs.events(started.run), Generator[Event, None, None])
        assert_type(fleet.sessions.events("one"), Generator[Event, None, None])
        assert_type(fleet.runs.wait(started.run), Run)
        assert_type(fleet.runs.spans(started.run), Page[Span])
        assert_type(fleet.sessions.list(search="one").items, list[Session])
        assert_type(fleet.health().version, str)
        try:
            fleet.runs.stop(started.run)
        except TooMany as error:
            assert_type(error.retry_after, float | None)


async def coroutines(names: Sequence[str]) -> None:
    """The other one."""
    async with AsyncClient("http://127.0.0.1:8000", token="t") as fleet:
        for name in names:
            started = await fleet.runs.start("Why?", session=name)
            async for event in fleet.runs.events(started.run):
                assert_type(event.seq, int)
            assert_type((await fleet.sessions.get(name)).turn_count, int)
