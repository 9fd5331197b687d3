"""What the store costs: a run's events on their way into it, beside the cheapest ways to keep them, and lists of many.

The writer's figure is the whole way: events are emitted into a run's log (redacted, numbered, written to its file),
stored in batches under a lease, and their spans derived. Beside it stand the same events as lines appended to a file,
and as rows given to the bare driver in batches of the same size.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from fleet_rlm.core.events import BudgetChange, Event, Limits, Note, RunEnd, RunStart, SpanEnd, SpanStart, Usage, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.store import EventWriter, Identity, Scope, Store, open_store
from fleet_rlm.sessions.store.tables import Turn
from tests.benchmarks.measure import Row, at_least, at_most, figure, timed
from tests.twins.postgres import Database, running_postgres

EVENTS = 20_000
MANY = 1_000_000
RUNS = 100
BATCH = 1_000
TEXT = "The deploy at 14:02 changed the currency of the checkout service. " * 20  # 1.3 kB, half of the events hold it

ME = Identity("acme", "ada")

INSERT = "insert into raw (tenant_id, run_id, seq, ts, kind, span, payload) values ({0}, {0}, {0}, {0}, {0}, {0}, {0})"
TABLE = """
create table raw (tenant_id varchar(64), run_id varchar(64), seq bigint, ts bigint, kind varchar(64), span varchar(64),
payload text, primary key (tenant_id, run_id, seq))
"""


def rows(quick: bool) -> list[Row]:
    """Writing and listing, on SQLite and on Postgres."""
    n, events, many = (1, EVENTS // 10, MANY // 100) if quick else (3, EVENTS, MANY)
    with tempfile.TemporaryDirectory() as folder, running_postgres(durable=True) as server:
        home, database = Path(folder), server.fresh()
        url = f"sqlite:///{home}/fleet.db"
        return [
            _writing("SQLite", open_store(url), n, events, home, lambda lines: _sqlite_rows(home, lines)),
            _writing(
                "Postgres", open_store(database.app), n, events, home, lambda lines: _psycopg_rows(database, lines)
            ),
            *_listing("SQLite", open_store(url), many, home / "fleet.db"),
            *_listing("Postgres", open_store(database.app), many, database),
        ]


def _writing(name: str, store: Store, n: int, events: int, home: Path, raw: Callable[[list[Event]], float]) -> Row:
    scope = store.scoped(ME)
    store.open()
    ours, appended, given = [], [], []
    for turn in range(n):
        log = RunLog(f"{name}-{turn}", home / "runs" / f"{name}-{turn}")
        ours.append(timed(lambda log=log: _written(scope, log, events)))  # type: ignore[misc]
        assert scope.events.last_seq(log.run) == len(log) - 1
        everything = log.events_since(0)
        appended.append(_appended(home / f"{name}-{turn}.jsonl", everything))
        given.append(raw(everything))
    store.close()
    seconds = figure(ours).value
    note = (
        f"{events / seconds:,.0f} events/s; as lines in a file {figure(appended).value * 1000:,.0f} ms, "
        f"by the bare driver {figure(given).value * 1000:,.0f} ms ({seconds / figure(given).value:.1f}x)"
    )
    return Row(
        f"{events:,} events of a run into {name}",
        "s",
        figure(ours, note=note),
        bars=[at_least(">= 5,000 events/s", events / seconds, 5_000)],
    )


def _written(scope: Scope, log: RunLog, events: int) -> None:
    log.emit(RunStart(task="What?", mode="agent", model="openai/m"))
    writer = EventWriter(scope, log)
    for number in range(events // 4):
        span = f"s{number + 1}"
        attrs = {"model": "openai/m", "purpose": "query"}
        log.emit(SpanStart(span=span, parent="s1", type="llm", name="query", attrs=attrs, input=TEXT))
        usage = Usage(llm_calls=1, tokens_in=300, tokens_out=20, tokens_cached=0, cost_usd=0.001)
        log.emit(SpanEnd(span=span, status="ok", output=TEXT, usage=usage))
        for _ in range(2):
            log.emit(BudgetChange(spent=Limits(calls=number), remaining=Limits(calls=events - number)))
    log.emit(RunEnd(status="ok", answer="done"))
    log.close()
    writer.close()


def _appended(path: Path, events: list[Event]) -> float:
    begin = time.perf_counter()
    with open(path, "ab", buffering=0) as file:
        for event in events:
            file.write(encode(event) + b"\n")
    return time.perf_counter() - begin


def _batches(events: list[Event]) -> Iterator[list[tuple[Any, ...]]]:
    for first in range(0, len(events), BATCH):
        yield [
            ("acme", event.run, event.seq, event.ts, type(event).__name__, event.span, encode(event).decode())
            for event in events[first : first + BATCH]
        ]


def _sqlite_rows(home: Path, events: list[Event]) -> float:
    (home / "raw.db").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(home / "raw.db")) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute(TABLE)
        begin = time.perf_counter()
        for batch in _batches(events):
            connection.executemany(INSERT.format("?"), batch)
            connection.commit()
        return time.perf_counter() - begin


def _psycopg_rows(database: Database, events: list[Event]) -> float:
    with psycopg.connect(database.owner) as connection:
        connection.execute("drop table if exists raw")
        connection.execute(TABLE)
        begin = time.perf_counter()
        for batch in _batches(events):
            connection.cursor().executemany(INSERT.format("%s"), batch)
            connection.commit()
        return time.perf_counter() - begin


def _listing(name: str, store: Store, many: int, where: Path | Database) -> list[Row]:
    """A tenant's lists while the table holds many events, half of them its own."""
    scope = store.scoped(ME)
    store.open()
    _fill(where, many)
    middle = many // (2 * RUNS) // 2
    n = 20
    events = figure([timed(lambda: scope.events.since("many-7", middle, 1_000)) for _ in range(n)])
    runs = figure([timed(lambda: scope.runs.list(search="many")) for _ in range(n)])
    run_sync(_converse(scope))
    turns = figure([timed(lambda: scope.turns.list("long")) for _ in range(n)])
    assert scope.events.since("many-7", middle, 1)[0].seq == middle
    store.close()
    bar = "<= 50 ms"
    return [
        Row(f"1,000 events of a run among {many:,}, {name}", "s", events, bars=[at_most(bar, events.value, 0.05)]),
        Row(f"a page of runs beside {many:,} events, {name}", "s", runs, bars=[at_most(bar, runs.value, 0.05)]),
        Row(f"a session's 1,000 turns, {name}", "s", turns, bars=[at_most("<= 300 ms", turns.value, 0.3)]),
    ]


async def _converse(scope: Scope) -> None:
    session = await scope.sessions.acreate("long")
    turns = [Turn(session_id=session.id, index=index, message=TEXT, answer=TEXT) for index in range(1_000)]
    async with scope.unit(writes=True) as unit:
        await unit.insert(*turns)


def _fill(where: Path | Database, many: int) -> None:
    """Two tenants with the same runs, written past the store: what is measured is reading."""
    note = encode(Note(run="r", seq=0, level="info", text=TEXT)).decode()
    run_columns = "tenant_id, user_id, id, task, status, offline, llm_calls, last_seq, lease_fence, started_at"
    each = many // (2 * RUNS)
    connection: Any
    if isinstance(where, Path):
        connection, mark, payload = sqlite3.connect(where), "?", "json_set(?, '$.seq', i)"
        counted = (
            f"with recursive n(i) as (select 0 union all select i + 1 from n where i < {each - 1}) select i from n"
        )
    else:
        connection, mark = psycopg.connect(where.admin), "%s"
        payload = "jsonb_set(%s::jsonb, '{seq}', to_jsonb(i))::text"
        counted = f"select generate_series(0, {each - 1}) as i"
    with contextlib.closing(connection):
        for tenant in ("acme", "other"):
            for number in range(RUNS):
                run = f"many-{number}"
                connection.execute(
                    f"insert into fleet_runs ({run_columns}) values "
                    f"({mark}, 'ada', {mark}, 'of many', 'ok', false, 0, {each - 1}, 0, '2026-01-01 00:00:00.000000')",
                    (tenant, run),
                )
                connection.execute(
                    "insert into fleet_events (tenant_id, run_id, seq, ts, kind, payload) "
                    f"select {mark}, {mark}, i, i, 'note', {payload} from ({counted}) numbered",
                    (tenant, run, note),
                )
        connection.commit()
        if not isinstance(where, Path):
            connection.execute("analyze")
            connection.commit()
