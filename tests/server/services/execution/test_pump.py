"""Back-pressure, against a server whose only run is a large log that was there before it started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet_rlm.core.events import Note, RunEnd, RunStart
from fleet_rlm.core.log import RunLog
from tests.server.serving import Serving

RUN = "20260101-000000-abcdef"
EVENTS = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(tmp_path_factory.mktemp("slow"), {"FleetApp.slow_client_s": "1"}, FLEET_LM="fleet/offline")
    log = RunLog(RUN, serving.home / "runs" / RUN)
    log.emit(RunStart(task="much", mode="direct", model="m"))
    for number in range(EVENTS - 2):
        log.emit(Note(level="info", text=f"{number} " + "word " * 6_000))
    log.emit(RunEnd(status="ok", answer="done"))
    log.close()
    with serving:
        yield serving


def test_a_client_that_takes_nothing_is_closed_and_goes_on_where_it_was(server: Serving) -> None:
    told, code = server.slow_watcher(RUN).stalled()
    assert code in (1013, 0)  # 0 where its side of the connection had no room for the reason either
    assert 0 < told < EVENTS
    with server.watch(f"run={RUN}&since={told}") as talk:
        talk.until("ended")
    assert talk.numbers == list(range(told, EVENTS))


def test_the_server_holds_little_of_what_clients_do_not_take(server: Serving) -> None:
    before = server.memory()
    slow = [server.slow_watcher(RUN) for _ in range(20)]
    server.finished(RUN)  # by then all of them have been sent what they can hold
    grown = server.memory() - before
    for one in slow:
        one.close()
    assert grown < 60 << 20


def test_a_log_that_was_there_before_the_server_is_listed(server: Serving) -> None:
    assert [one["id"] for one in server.get("runs")["items"]] == [RUN]
    assert server.get(f"runs/{RUN}")["next"] == EVENTS
