"""A recursive run of sixty calls, with a limit of just as many, killed at twenty moments: nothing is asked twice,
counted twice, or left open, and with as many calls more as were lost in flight it comes to its answer."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from tests.agent import legs
from tests.agent.legs import ANSWER, CALLS, Walkers
from tests.twins.lm_server import LMServer, Received
from tests.twins.replies import Gate, Reply

chance = random.Random(4)

EVENTS = 270
"""About what the run writes; the last moments lie in its last step."""


@dataclass(frozen=True)
class Point:
    """When a run is killed: by itself after so many events, or by us while this call and all later ones wait."""

    events: int = 0
    call: int = 0
    then: int = 0  # more events until the resumed run is killed, too
    is_fresh: bool = False  # resumed by a Python of its own


POINTS = [
    *(Point(events=chance.randint(2, EVENTS), is_fresh=number == 0) for number in range(8)),
    *(Point(call=chance.randint(1, CALLS), is_fresh=number == 0) for number in range(8)),
    *(Point(events=chance.randint(2, 100), then=chance.randint(1, 60)) for _ in range(4)),
]


@dataclass(frozen=True)
class Walked:
    """A run that was killed, and then resumed until it ended."""

    point: Point
    before: list[Received]
    cut: fleet.Run
    after: list[Received]
    told: dict[str, Any]
    run: fleet.Run
    log: Path


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Walked]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("FLEET_", "DSPY_"))]:
            patch.delenv(name)
        with Walkers() as one, Walkers() as other, ThreadPoolExecutor(2) as pool:
            halves = [(one, POINTS[::2]), (other, POINTS[1::2])]
            done = pool.map(lambda half: [_walk(half[0], tmp_path_factory, point) for point in half[1]], halves)
            yield [walk for half in done for walk in half]


def _walk(walkers: Walkers, homes: pytest.TempPathFactory, point: Point) -> Walked:
    home, gate, plain = homes.mktemp("home"), Gate(), legs.script()

    def gated(request: dict[str, Any], index: int) -> str | Reply:
        reply = plain(request, index)
        return Reply(str(reply), gate=gate) if point.call and index >= point.call - 1 else reply

    with LMServer(gated) as server:
        first = {"home": str(home), "lm": f"m@{server.base_url}", "options": {"budget": CALLS}}
        process = walkers.begin({**first, "die_at": point.events})
        if point.call:
            server.wait_for(point.call)
            os.kill(process, signal.SIGKILL)
        assert walkers.end() is None, "it lived to the end"
        server.wait_idle()
        gate.open()
        before = list(server.requests)
        (log,) = (home / "runs").glob("*/events.jsonl")
        cut = fleet.Run.from_jsonl(log)
        leg: dict[str, Any] = {"home": str(home), "run": cut.id, "changes": _as_many_more(cut)}
        if point.then:
            assert walkers.walk({**leg, "die_at": len(cut.log) + point.then}) is None
            server.wait_idle()
            before, cut = list(server.requests), fleet.Run.from_jsonl(log)
            leg["changes"] = _as_many_more(cut)
        told = legs.walk_afresh(leg) if point.is_fresh else walkers.walk(leg)
        assert told is not None
        return Walked(point, before, cut, server.requests[len(before) :], told, fleet.Run.from_jsonl(log), log)


def _as_many_more(cut: fleet.Run) -> dict[str, int]:
    lost = unanswered(cut)
    return {"budget": CALLS + lost} if lost else {}


def unanswered(run: fleet.Run) -> int:
    return sum(span.type == "llm" and span.status != "ok" for span in run.tree.spans.values())


def test_the_answer_is_that_of_the_undisturbed_run(walked: list[Walked]) -> None:
    assert [(one.told["status"], one.told["answer"]) for one in walked] == [("ok", ANSWER)] * len(POINTS)


def test_only_calls_in_flight_at_a_kill_are_made_again(walked: list[Walked]) -> None:
    for one in walked:
        lost = unanswered(one.run)  # their requests may not have left the process
        assert CALLS <= len(one.before) + len(one.after) <= CALLS + lost, one.point


def test_no_question_whose_reply_is_in_the_log_is_asked_again(walked: list[Walked]) -> None:
    for one in walked:
        queries = Counter(f"[user]\n{request.text}" for request in one.after)
        known = [span.input for span in one.cut.tree.spans.values() if span.type == "llm" and span.status == "ok"]
        again = [text for text in known if text in queries]
        assert again == [], one.point


def test_every_call_is_counted_once(walked: list[Walked]) -> None:
    for one in walked:
        calls = CALLS + unanswered(one.run)
        assert (one.run.usage.llm_calls, one.told["spent"], one.told["children"]) == (calls, calls, 5), one.point


def test_the_log_is_one_whole_tree_with_nothing_left_open(walked: list[Walked]) -> None:
    undisturbed = shape(walked[0].run)
    for one in walked:
        assert [event.seq for event in one.run.events()] == list(range(len(one.run.log))), one.point
        assert one.run.tree.canonical() == one.told["tree"], one.point
        assert {span.status for span in one.run.tree.spans.values() if span.end is None} == set(), one.point
        assert [root.type for root in one.run.tree.roots] == ["turn"], one.point
        assert shape(one.run) == undisturbed, one.point


def shape(run: fleet.Run) -> Counter[tuple[str, ...]]:
    """How many spans there are of each ancestry, without calls that were cut off and the sandboxes of each leg."""
    paths: dict[str, tuple[str, ...]] = {}
    for _, span in run.tree.walk():
        paths[span.id] = (*paths.get(span.parent or "", ()), span.type, "" if span.type == "code" else span.name)
    kept = (span for span in run.tree.spans.values() if span.type != "sandbox" and span.status == "ok")
    return Counter(paths[span.id] for span in kept)


def test_the_killed_run_left_nothing_but_its_files(walked: list[Walked]) -> None:
    for one in walked:
        files = {path.name for path in one.log.parent.iterdir()}
        assert files == {"events.jsonl", "context.json"}, one.point
