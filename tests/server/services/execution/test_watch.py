"""Watching runs over `/ws/execution/events`."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import re

import pytest
from websockets.exceptions import ConnectionClosed

from fleet_rlm.server.services.execution import handlers, messages, pump
from tests.server.services.conftest import Model
from tests.server.serving import ROOT, Serving, Talk

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}


def test_the_page_of_the_server_tells_what_is_said() -> None:
    table = "\n".join(line for line in (messages.__doc__ or "").splitlines() if line.startswith("|"))
    assert table in (ROOT / "docs" / "server.md").read_text()
    source = "".join(inspect.getsource(module) for module in (handlers, messages, pump))
    said = set(re.findall(r'frame\(\s*"(\w+)"', source))
    assert len(said) >= 6
    assert said <= set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


@pytest.fixture(scope="module")
def run(server: Serving) -> str:
    """A run that is over."""
    with server.drive() as talk:
        run: str = talk.ask("What is to be watched?", session_id="watch")["run"]
        talk.until("ended")
    return run


def closed_with(talk: Talk) -> int:
    def to_the_end() -> None:
        while True:
            talk.hear()

    with pytest.raises(ConnectionClosed) as closed:
        to_the_end()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_run_that_is_over_is_replayed_and_the_connection_closed(server: Serving, run: str) -> None:
    with server.watch(f"run={run}") as talk:
        assert talk.until("ended")["status"] == "ok"
        assert closed_with(talk) == 1000
    assert talk.numbers == list(range(len(talk.numbers)))
    assert talk.events[-1]["kind"] == "run.end"


def test_since_goes_on_where_a_connection_broke_without_gap_or_duplicate(server: Serving, model: Model) -> None:
    gate = model.gate("broken line")
    with server.drive() as driving:
        run = driving.ask("A broken line", session_id="watch", execution_mode="direct")["run"]
        heard: list[int] = []
        with server.watch(f"run={run}") as talk:
            talk.until_event("span.start", type="llm")
            heard += talk.numbers
        gate.open()
        driving.until("ended")
        with server.watch(f"run={run}&since={heard[-1] + 1}") as talk:
            talk.until("ended")
            heard += talk.numbers
    assert heard == driving.numbers == list(range(len(heard)))


def test_many_watchers_are_told_the_same(server: Serving, model: Model) -> None:
    gate = model.gate("crowd")
    with server.drive() as driving:
        run = driving.ask("A crowd watches", session_id="watch", execution_mode="direct")["run"]
        with contextlib.ExitStack() as stack:
            watchers = [stack.enter_context(server.watch(f"run={run}&since={place % 3}")) for place in range(12)]
            gate.open()
            driving.until("ended")
            for place, talk in enumerate(watchers):
                talk.until("ended")
                assert talk.events == driving.events[place % 3 :]


@pytest.mark.usefixtures("run")  # makes the session
def test_a_session_is_watched_from_run_to_run(server: Serving) -> None:
    with server.watch("session=watch") as watching, server.drive() as driving:
        first = driving.ask("First", session_id="watch", execution_mode="direct")["run"]
        driving.until("ended")
        second = driving.ask("Second", session_id="watch", execution_mode="direct")["run"]
        driving.until("ended")
        assert [watching.until("ended")["run"], watching.until("ended")["run"]] == [first, second]
    assert [run for run, _ in itertools.groupby(event["run"] for event in watching.events)] == [first, second]


def test_a_session_says_when_it_is_watched_and_tells_a_run_that_is_resumed(server: Serving, model: Model) -> None:
    gate = model.gate("stopped and resumed")
    with server.drive() as driving:
        run = driving.ask("stopped and resumed", session_id="watch", execution_mode="direct")["run"]
        driving.until_event("span.start", type="llm")
        server.post(f"runs/{run}/stop", 202)
        driving.until("ended")
    gate.open()
    with server.watch(f"session=watch&run={run}") as both, server.watch("session=watch") as later:
        for talk in (both, later):
            assert talk.until("watching")["session"] == "watch"
        assert both.until("ended")["status"] == "stopped"
        left = server.post(f"runs/{run}/resume", 200)["next"]
        assert [talk.until("ended")["status"] for talk in (both, later)] == ["ok", "ok"]
        following = server.get(f"runs/{run}")["next"]
    assert both.numbers == list(range(following))
    assert later.numbers == list(range(left, following))


def test_a_compact_trace_leaves_out_text_as_it_arrives_and_keeps_the_numbers(server: Serving, run: str) -> None:
    with server.watch(f"run={run}&trace=off") as talk:
        frames = [talk.until("events")]
        while (heard := talk.hear())["type"] == "events":
            frames.append(heard)
    assert {event["kind"] for event in talk.events} == {"run.start", "run.end"}
    assert frames[0]["from"] == 0
    assert all(later["from"] == earlier["to"] + 1 for earlier, later in itertools.pairwise(frames))
    assert heard["next"] == frames[-1]["to"] + 1


@pytest.mark.parametrize("query", ["run=no-such-run", "session=no-such-session"])
def test_what_is_not_there_closes_the_connection(server: Serving, query: str) -> None:
    with server.watch(query) as talk:
        assert closed_with(talk) == 4404


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "say what to watch: ?run= or ?session="),
        ("since=3", "say what to watch: ?run= or ?session="),
        ("run=x&since=-1", "since: Input should be greater than or equal to 0"),
        ("run=x&since=soon", "since: Input should be a valid integer"),
        ("run=x&depth=2", "depth is not known here, leave it out"),
    ],
)
def test_a_query_that_makes_no_sense_closes_the_connection_and_is_told_why(
    server: Serving, query: str, reason: str
) -> None:
    with server.watch(query) as talk, pytest.raises(ConnectionClosed) as closed:
        talk.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert closed.value.rcvd.reason.startswith(reason)


@pytest.mark.parametrize("query", ["run=x&since=1&since=2", "run=x&run=y", "run=x&trace=off&trace=off"])
def test_an_argument_given_twice_closes_the_connection_and_is_named(server: Serving, query: str) -> None:
    with server.watch(query) as talk, pytest.raises(ConnectionClosed) as closed:
        talk.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert "is given more than once" in closed.value.rcvd.reason


def test_a_name_too_long_to_be_told_closes_the_connection_all_the_same(server: Serving) -> None:
    with server.watch("session=" + "日" * 100) as talk:
        assert closed_with(talk) == 4404


def test_a_run_of_another_tenant_does_not_exist(server: Serving, run: str) -> None:
    with server.watch(f"run={run}", **ADA) as talk:
        assert closed_with(talk) == 4404


def test_whoever_speaks_where_one_only_listens_is_closed(server: Serving, model: Model) -> None:
    gate = model.gate("listen only")
    with server.drive() as driving:
        run = driving.ask("listen only", session_id="watch", execution_mode="direct")["run"]
        with server.watch(f"run={run}") as talk:
            talk.say("message", content="x")
            assert closed_with(talk) == 1008
        gate.open()
        driving.until("ended")
