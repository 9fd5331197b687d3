"""Runs and sessions are their owner's, and are found as soon as they have begun."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from fleet_rlm.server.auth.identity import Identity
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.services.errors import NotFound
from fleet_rlm.server.services.runs.models import StartRun
from tests.server.services.runs.housing import ME, house, run

ADA = Identity("acme", "ada", frozenset(ROLES))
BOB = Identity("acme", "bob", frozenset(ROLES))


def test_sessions_of_one_name_are_each_users_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as made:
            asked = StartRun(message="whose is it?", session="notes")
            ada, bob = await asyncio.gather(made.runs.start(ADA, asked), made.runs.start(BOB, asked))
            assert ada.session != bob.session
            for identity, other in ((ADA, bob), (BOB, ada)):
                with pytest.raises(NotFound):
                    await made.reading.get(identity, other.run)
                with pytest.raises(NotFound):
                    [one async for one in made.reading.events(identity, other.run)]
                assert (await made.reading.list(identity)).total == 1

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
            live = made._live.get(started.run)
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
