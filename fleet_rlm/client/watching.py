"""Watching: the events of a run, or of all runs of a session, each once and in order, over connections that break.

A run is gone on with at the number after its last event. A session says when it listens for runs that begin; from then
on nothing is missed, and what was told before that, while there was no connection, is read from the runs that have
grown meanwhile: those that began, and those that were resumed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from fleet_rlm.client.connection import Connection, json_of
from fleet_rlm.client.errors import NotReached, Refused, refused
from fleet_rlm.client.records import Page, Run
from fleet_rlm.core.events import Event, decode

PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before each new attempt to go on where a connection broke; whatever arrives begins them anew."""

CLOSED = {4404: "not_found", 4401: "invalid_token", 4400: "invalid_request"}
"""Codes with which a connection is closed that would be closed again."""

OVER, TOO_MANY = 1000, 429
PAGE = 1_000


class _Frame(msgspec.Struct):
    """One thing the server says to who watches."""

    type: str
    events: list[msgspec.Raw] = []
    to: int = -1
    code: str = ""
    message: str = ""


async def events_of_run(connection: Connection, run: str, since: int) -> AsyncGenerator[Event]:
    """Its events from number `since` on, until it is over.

    Raises:
        NotReached: a broken connection cannot be made anew.
        Refused: there is no such run, or the sign-in has ended.
    """
    place = since
    async with aclosing(_frames(connection, lambda: {"run": run, "since": place})) as frames:
        async for told in frames:
            if told.type == "ended":
                return
            for event in _events(told):
                if event.seq >= place:
                    place = event.seq + 1
                    yield event
            place = max(place, told.to + 1)


async def events_of_session(connection: Connection, session: str) -> AsyncGenerator[Event]:
    """The events of its run that goes on, from its beginning, then of each that begins or is resumed; never ends.

    Raises:
        NotReached, Refused: as `events_of_run`.
    """
    runs = await _runs(connection, session)
    places = {run.id: 0 if run.status == "running" else run.next for run in runs}
    async with aclosing(_frames(connection, lambda: {"session": session})) as frames:
        async for told in frames:
            grown = await _runs(connection, session) if told.type == "watching" else []
            for run in grown:
                if run.status != "running" and run.next > places.get(run.id, 0):
                    async with aclosing(events_of_run(connection, run.id, places.get(run.id, 0))) as missed:
                        async for event in missed:
                            places[run.id] = event.seq + 1
                            yield event
            for event in _events(told):
                if event.seq >= places.get(event.run, 0):
                    places[event.run] = event.seq + 1
                    yield event


async def _frames(connection: Connection, where: Callable[[], dict[str, Any]]) -> AsyncGenerator[_Frame]:
    """What the server says of what `where` names, which is asked at every new connection."""
    broken = 0
    while True:
        try:
            async with connection.socket("ws/execution/events", where()) as socket:
                async for text in socket:
                    told = msgspec.json.decode(text, type=_Frame)
                    broken = 0
                    if told.type == "error":
                        raise Refused(OVER, told.code, told.message)
                    yield told
            _if_for_good(socket.close_code, socket.close_reason)
        except InvalidStatus as error:
            if error.response.status_code < 500 and error.response.status_code != TOO_MANY:
                raise refused(error.response.status_code, json_of(error.response.body or b"")) from error
        except ConnectionClosed as error:
            if error.rcvd is not None:
                _if_for_good(error.rcvd.code, error.rcvd.reason)
        except ssl.SSLCertVerificationError as error:
            raise connection.not_trusted(error) from error
        except (OSError, TimeoutError, InvalidMessage):  # it ended before or while it was made
            pass
        if broken >= len(PAUSES_S):
            watched = ", ".join(f"{name} {value}" for name, value in where().items())
            raise NotReached(f"{connection.base} broke off ({watched}) and does not answer any more")
        await asyncio.sleep(PAUSES_S[broken])
        broken += 1


async def _runs(connection: Connection, session: str) -> list[Run]:
    """All runs of a session, the first one first."""
    runs: list[Run] = []
    while True:
        query = {"session": session, "limit": PAGE, "offset": len(runs)}
        page = await connection.ask("GET", "api/v1/runs", Page[Run], query=query)
        runs += page.items
        if not page.has_more:
            return runs[::-1]


def _events(told: _Frame) -> list[Event]:
    return [decode(bytes(line)) for line in told.events]


def _if_for_good(code: int | None, reason: str | None) -> None:
    if code in CLOSED:
        raise refused(code, {"code": CLOSED[code], "message": reason or "not watched"})
