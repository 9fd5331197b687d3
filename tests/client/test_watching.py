"""A run and a session are watched without gap or duplicate, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import aclosing

import pytest

from fleet_rlm.client import AsyncClient, Client, NotFound, NotReached
from fleet_rlm.core.events import Event, RunEnd
from tests.client.cutting import Cutting
from tests.server.services.conftest import Model
from tests.server.serving import TOKEN, Serving


@pytest.fixture
def proxy(server: Serving) -> Iterator[Cutting]:
    """A way to the server that can be broken."""
    with Cutting(server.port) as proxy:
        yield proxy


@pytest.fixture
def direct(server: Serving) -> Iterator[Client]:
    """A client by another way."""
    with Client(server.origin, token=TOKEN) as client:
        yield client


def until_over(events: Generator[Event], *runs: str) -> dict[str, list[int]]:
    """The numbers of events by run, until the last of these has ended."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    waited = set(runs)
    while waited:
        event = next(events)
        numbers[event.run].append(event.seq)
        if isinstance(event, RunEnd):
            waited.discard(event.run)
    return dict(numbers)


def test_events_go_on_where_a_connection_broke(server: Serving, model: Model, direct: Client) -> None:
    """Every connection is cut after a few frames, so that the run is watched over several of them."""
    gate = model.gate("cut often")
    with Cutting(server.port, after=1_500) as proxy, Client(proxy.address, token=TOKEN) as client:
        started = direct.runs.start("cut often", session="client", mode="direct")
        numbers = []
        for event in client.runs.events(started.run):
            numbers.append(event.seq)
            if getattr(event, "type", None) == "llm":
                gate.open()
        assert numbers == list(range(direct.runs.get(started.run).next))
    assert proxy.cut >= 2


def test_a_session_is_watched_from_run_to_run_from_the_one_that_goes_on(direct: Client, model: Model) -> None:
    gate = model.gate("goes on already")
    direct.runs.wait(direct.runs.start("over before", session="watched", mode="direct").run)
    one = direct.runs.start("goes on already", session="watched", mode="direct").run
    events = direct.sessions.events("watched")
    assert (next(events).run, next(events).seq) == (one, 1)
    gate.open()
    assert until_over(events, one) == {one: list(range(2, direct.runs.get(one).next))}
    two = direct.runs.start("another", session="watched", mode="direct").run
    assert until_over(events, two) == {two: list(range(direct.runs.get(two).next))}
    events.close()


def test_runs_that_came_and_went_or_were_resumed_without_a_connection_are_told_once(
    proxy: Cutting, direct: Client, model: Model
) -> None:
    gates = {word: model.gate(word) for word in ("stopped before", "watched first")}
    stopped = direct.runs.start("stopped before", session="breaks", mode="direct").run
    direct.runs.stop(stopped)
    left = direct.runs.wait(stopped).next
    first = direct.runs.start("watched first", session="breaks", mode="direct").run
    with Client(proxy.address, token=TOKEN) as client:
        events = client.sessions.events("breaks")
        assert next(events).run == first
        proxy.down()
        for gate in gates.values():
            gate.open()
        direct.runs.wait(first)
        missed = direct.runs.start("missed", session="breaks", mode="direct").run
        direct.runs.wait(missed)
        direct.runs.wait(direct.runs.resume(stopped).run)
        proxy.up()
        told = until_over(events, first, missed, stopped)
        later = direct.runs.start("later", session="breaks", mode="direct").run
        told |= until_over(events, later)
        events.close()
    begun = {stopped: left, first: 1, missed: 0, later: 0}
    assert told == {run: list(range(since, direct.runs.get(run).next)) for run, since in begun.items()}


def test_a_way_that_stays_broken_is_told_by_what_was_watched(
    proxy: Cutting, direct: Client, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_rlm.client.watching.PAUSES_S", (0.01, 0.01))
    gate = model.gate("is it gone")
    run = direct.runs.start("is it gone", session="gone", mode="direct").run
    with Client(proxy.address, token=TOKEN) as client:
        events = client.sessions.events("gone")
        next(events)
        gate.open()
        assert until_over(events, run)
        proxy.down()
        with pytest.raises(NotReached, match=r"broke off \(session gone\) and does not answer any more"):
            next(events)


def test_a_session_that_is_not_there_is_told(direct: Client) -> None:
    with pytest.raises(NotFound, match="no session 'never-was'"):
        next(direct.sessions.events("never-was"))


def test_the_coroutines_watch_a_session_beside_other_work(server: Serving, model: Model) -> None:
    gate = model.gate("beside the other")

    async def watched() -> tuple[set[str], str]:
        seen: set[str] = set()

        async def watch() -> None:
            async with aclosing(client.sessions.events("beside")) as events:
                async for event in events:
                    seen.add(event.run)
                    gate.open()
                    if isinstance(event, RunEnd):
                        return

        async with AsyncClient(server.origin, token=TOKEN) as client:
            await client.runs.wait((await client.runs.start("over", session="beside", mode="direct")).run)
            watching = asyncio.create_task(watch())
            run = (await client.runs.start("beside the other", session="beside", mode="direct")).run
            await asyncio.wait_for(watching, 60)
            return seen, run

    seen, run = asyncio.run(watched())
    assert seen == {run}
