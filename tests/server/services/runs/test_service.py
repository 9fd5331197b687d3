"""The service over real kernels, without a server: what gets lost on the way, and who may see what."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from fleet_rlm.server.auth.identity import Identity
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.services.errors import NotFound
from fleet_rlm.server.services.house import House, Limits
from fleet_rlm.server.services.kernels.service import Held, Rules
from fleet_rlm.server.services.runs.models import StartRun

ME = Identity("local", "local", frozenset(ROLES))
ADA = Identity("acme", "ada", frozenset(ROLES))
BOB = Identity("acme", "bob", frozenset(ROLES))


@asynccontextmanager
async def house(tmp_path: Path, **rules: Any) -> AsyncIterator[House]:
    environ = {"FLEET_HOME": str(tmp_path), "FLEET_LM": "fleet/offline"}
    manager = AsyncMappingKernelManager(root_dir=str(tmp_path), connection_dir=str(tmp_path))
    limits = Limits(rules=Rules(**rules), lm_calls=None, lm_tokens=None, slow_client_s=10)
    made = House(manager, limits, environ)
    try:
        yield made
    finally:
        await made.close()
        await manager.shutdown_all(now=True)


def lossy(house: House, lose: Callable[[int], bool]) -> None:
    """Lose some of the messages that bring events, as a full socket would."""
    listener = house.kernels.listener
    deliver = listener.on_events
    count = iter(range(1_000_000))

    def deliver_some(held: Held, run: str, first: int, lines: list[bytes]) -> None:
        if not lose(next(count)):
            deliver(held, run, first, lines)

    listener.on_events = deliver_some  # type: ignore[method-assign]


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(90):
            await main

    asyncio.run(bounded())


def test_events_that_were_lost_on_the_way_are_asked_for_again(tmp_path: Path) -> None:
    """Every second message; the last one too, of which only the kernel's sign of life tells."""

    async def main() -> None:
        async with house(tmp_path) as made:
            lossy(made, lambda number: number % 2 == 0)
            started = await made.runs.start(ME, StartRun(message="how many errors?", session="s"))
            numbers: list[int] = []
            async for batch in made.runs.events(ME, started.run):
                numbers += range(batch.first, batch.next)
            told = await made.runs.get(ME, started.run)
            assert numbers == list(range(told.next))
            assert told.status == "ok"

    run(main())


def test_sessions_of_one_name_are_each_users_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as made:
            asked = StartRun(message="whose is it?", session="notes")
            ada, bob = await asyncio.gather(made.runs.start(ADA, asked), made.runs.start(BOB, asked))
            assert ada.session != bob.session
            for identity, other in ((ADA, bob), (BOB, ada)):
                with pytest.raises(NotFound):
                    await made.runs.get(identity, other.run)
                with pytest.raises(NotFound):
                    [one async for one in made.runs.events(identity, other.run)]
                assert (await made.runs.list(identity)).total == 1

    run(main())
    assert len({path.parents[2] for path in tmp_path.glob("users/*/runs/*/events.jsonl")}) == 2


def test_a_session_is_archived_right_after_its_first_run_also_where_its_row_is_not_written_yet(tmp_path: Path) -> None:
    """Its row is written by the run's recorder, beside the run; somebody else has the file meanwhile."""

    async def main() -> None:
        async with house(tmp_path) as made:
            await made.store.aopen()
            other = sqlite3.connect(tmp_path / "fleet.db", isolation_level=None, check_same_thread=False)
            other.execute("begin immediate")
            started = await made.runs.start(ME, StartRun(message="how many errors?", session="s"))
            live = made.runs._live.get(started.run)
            assert live is not None
            await live.feed.over()
            assert not live.recorder.begun.done()
            archiving = asyncio.create_task(made.sessions.archive(ME, "s"))
            done, _ = await asyncio.wait([archiving], timeout=0.3)  # without the wait it has long found nothing
            assert not done
            other.execute("rollback")
            other.close()
            assert (await archiving).status == "archived"
            await live.recorder.finished()
            told = await made.sessions.get(ME, started.session)
            assert (told.status, told.turn_count, told.is_open) == ("archived", 1, False)

    run(main())


def test_a_kernel_that_nobody_asks_anything_ends_and_one_that_works_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, idle_s=0.5) as made:
            started = await made.runs.start(ME, StartRun(message="how many errors?", session="s"))
            async for _ in made.runs.events(ME, started.run):
                assert made.kernels.own == 1
            while made.kernels.own:  # noqa: ASYNC110 - nothing tells when one has ended
                await asyncio.sleep(0.05)
            again = await made.runs.start(ME, StartRun(message="and warnings?", session="s"))
            assert again.session == started.session

    run(main())
