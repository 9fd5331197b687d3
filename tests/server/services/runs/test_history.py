"""Reading a run's own file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fleet_rlm.core.events import Note, RunStart, decode, encode
from fleet_rlm.core.log import RunLog
from fleet_rlm.server.services.runs.history import History
from fleet_rlm.sessions.store import open_store


def written(directory: Path, events: int) -> RunLog:
    log = RunLog("r", directory)
    log.emit(RunStart(task="t", mode="direct", model="m"))
    for number in range(events - 1):
        log.emit(Note(level="info", text=str(number)))
    return log


def test_it_is_read_in_order_from_anywhere_while_it_is_written(tmp_path: Path) -> None:
    log = written(tmp_path / "r", 5_000)

    async def main() -> None:
        history = History("r", tmp_path / "r", open_store().scoped())
        place = 17
        while (batch := await history.read(place, 700)).lines:
            assert [decode(line).seq for line in batch.lines] == list(range(place, batch.next))
            place = batch.next
        assert place == 5_000
        log.emit(Note(level="info", text="later"))
        assert list((await history.read(place)).lines) == [encode(log.events_since(place)[0])]
        assert (await history.read(3, 1)).lines == [encode(log.events_since(3)[0])], "back again"
        history.close()

    asyncio.run(main())


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    written(tmp_path / "r", 3).close()
    path = tmp_path / "r" / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])

    def append() -> None:
        with open(path, "ab") as file:
            file.write(whole[-5:])

    async def main() -> None:
        history = History("r", tmp_path / "r", open_store().scoped())
        assert len((await history.read(0)).lines) == 2
        append()
        assert len((await history.read(2)).lines) == 1
        history.close()

    asyncio.run(main())


def test_where_there_is_no_file_the_store_tells(tmp_path: Path) -> None:
    log = written(tmp_path / "elsewhere", 4)
    store = open_store()
    scope = store.scoped()
    start = log.events_since(0)[0]
    assert isinstance(start, RunStart)
    scope.runs.begin(start)
    scope.events.append(scope.runs.lease("r", "test"), log.events_since(0))

    async def main() -> None:
        batch = await History("r", tmp_path / "gone", scope).read(1)
        assert [decode(line).seq for line in batch.lines] == [1, 2, 3]

    asyncio.run(main())
    store.close()
