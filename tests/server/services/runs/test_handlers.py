"""Runs over REST."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.server.services.conftest import Model
from tests.server.serving import Serving

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}
BOB = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "bob"}
READER = {"X-Fleet-Debug-Roles": "Fleet.Read"}


@pytest.fixture(scope="module")
def run(server: Serving) -> str:
    """A run that is over."""
    started = server.post("runs", message="What is it?", session="rest")
    assert server.finished(started["run"])["status"] == "ok"
    run: str = started["run"]
    return run


def test_a_run_tells_its_answer_and_what_it_used(server: Serving, run: str) -> None:
    told = server.get(f"runs/{run}")
    assert (told["status"], told["answer"], told["task"]) == ("ok", "forty-two", "What is it?")
    assert told["usage"]["llm_calls"] == 2
    assert told["session"].startswith("rest-")
    assert told["ended_at"] > told["started_at"]


def test_runs_are_listed_in_the_envelope_of_every_list(server: Serving, run: str) -> None:
    page = server.get("runs", session="rest", limit=1)
    assert set(page) == {"items", "total", "offset", "limit", "has_more"}
    assert page["total"] >= 1
    assert server.get("runs", search="no such question")["items"] == []
    assert run in {one["id"] for one in server.get("runs", session="rest", status="ok")["items"]}


def test_spans_are_those_of_the_log(server: Serving, run: str) -> None:
    spans = server.get(f"runs/{run}/spans")["items"]
    assert spans[0]["type"] == "turn"
    assert {"turn", "step", "llm"} <= {span["type"] for span in spans}
    assert all(span["status"] == "ok" for span in spans)


def test_the_spans_of_a_run_that_goes_on_are_told_as_far_as_they_are(server: Serving, model: Model) -> None:
    gate = model.gate("half way")
    started = server.post("runs", message="half way", session="rest", mode="direct")
    with server.watch(f"run={started['run']}") as talk:
        talk.until_event("span.start", type="llm")
        spans = server.get(f"runs/{started['run']}/spans")["items"]
        assert server.get(f"runs/{started['run']}")["status"] == "running"
        gate.open()
        talk.until("ended")
    assert [(span["type"], span["status"]) for span in spans if span["type"] == "llm"] == [("llm", "running")]


def test_events_are_paged_without_gap_and_exported_as_the_log_has_them(server: Serving, run: str) -> None:
    following, numbers, ended = 0, [], False
    while not ended:
        page = server.get(f"runs/{run}/events", since=following, limit=5)
        numbers += [event["seq"] for event in page["events"]]
        following, ended = page["next"], page["ended"]
    assert numbers == list(range(following))
    export = server.client.get(f"{server.base}runs/{run}/events", headers={"Accept": "application/x-ndjson"})
    assert export.headers["Content-Type"] == "application/x-ndjson"
    log = (server.home / "runs" / run / "events.jsonl").read_bytes()
    assert export.content == log
    assert [json.loads(line)["seq"] for line in log.splitlines()] == numbers


def test_reading_on_from_behind_the_end_is_refused_with_the_next_number(server: Serving, run: str) -> None:
    following = server.get(f"runs/{run}")["next"]
    assert server.get(f"runs/{run}/events", since=following)["events"] == []
    told = server.get(f"runs/{run}/events", 400, since=following + 1)
    assert told["message"].endswith(f"its next is {following}")
    address = f"{server.base}runs/{run}/events?since={following + 1}"
    lines = server.client.get(address, headers={"Accept": "application/x-ndjson"})
    assert (lines.status_code, lines.json()) == (400, told)
    page = f"{server.base}runs/{run}/events?limit=1"
    lines = server.client.get(page, headers={"Accept": "application/x-ndjson"})
    assert (lines.status_code, lines.json()["code"]) == (400, "bad_request")
    with server.watch(f"run={run}&since={following + 1}") as talk, pytest.raises(ConnectionClosed) as closed:
        talk.until("ended")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


def test_stop_ends_a_run_and_resume_goes_on_without_paying_twice(server: Serving, model: Model) -> None:
    gate = model.gate("stop and go")
    started = server.post("runs", message="stop and go", session="rest")
    run = started["run"]
    with server.watch(f"run={run}") as talk:
        talk.until_event("span.start", type="llm")
        server.post(f"runs/{run}/stop", 202)
        assert talk.until("ended")["status"] == "stopped"
    server.post(f"runs/{run}/stop", 409)
    gate.open()
    resumed = server.post(f"runs/{run}/resume", 200, budget=20)
    assert resumed["next"] == len(talk.numbers)
    assert server.finished(run)["status"] == "ok"
    server.post(f"runs/{run}/resume", 409)
    turns = server.get("runs", session="rest", search="stop and go")["items"]
    assert [one["id"] for one in turns] == [run]


def test_a_branch_is_another_run_that_shares_the_past(server: Serving, run: str) -> None:
    spans = server.get(f"runs/{run}/spans")["items"]
    last = [span for span in spans if span["type"] == "llm"][-1]["id"]
    reply = "[[ ## reasoning ## ]]\nbecause\n\n[[ ## answer ## ]]\nforty-three\n\n[[ ## completed ## ]]"
    branch = server.post(f"runs/{run}/branch", span=last, reply=reply)
    told = server.finished(branch["run"])
    assert (told["parent_run"], told["answer"]) == (run, "forty-three")
    server.post(f"runs/{run}/branch", 400, span="s999")
    server.post(f"runs/{run}/branch", 422, span=last, reply="x", prompt="y")


def test_feedback_is_kept_with_the_run(server: Serving, run: str) -> None:
    kept = server.post(f"runs/{run}/feedback", value=True, comment="right")
    assert (kept["run"], kept["name"], kept["value"]) == (run, "helpful", True)


def test_a_run_that_asks_nothing_cannot_be_answered(server: Serving, model: Model, run: str) -> None:
    server.post(f"runs/{run}/approve", 409, answer="yes")
    gate = model.gate("asks nothing")
    going = server.post("runs", message="asks nothing", session="rest", mode="direct")["run"]
    assert server.post(f"runs/{going}/approve", 409, answer="yes")["code"] == "conflict"
    gate.open()
    server.finished(going)


def test_a_model_that_is_not_the_servers_is_refused_by_name(server: Serving) -> None:
    told = server.post("runs", 424, message="x", session="rest", model="openai/gpt-99")
    assert told["code"] == "model_unavailable"
    assert "twin" in told["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": ""},
        {"message": "x", "sesion": "y"},
        {"message": "x", "budget": 0},
        {"message": "x", "repo_ref": "main"},
        {"message": "x", "tenant": "acme"},
        {"message": "x", "timeout": "soon"},
    ],
)
def test_a_body_that_is_not_as_it_should_be_is_refused(server: Serving, body: dict[str, Any]) -> None:
    told = server.post("runs", 422, **body)
    assert set(told) == {"code", "message"}
    assert told["code"] == "invalid_request"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "status=great", "unknown=1", "limit=1&limit=2", "search=%ff"])
def test_a_query_that_is_not_as_it_should_be_is_refused(server: Serving, query: str) -> None:
    answer = server.client.get(f"{server.base}runs?{query}")
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"code", "message"}


VERBS = [
    ("GET", ""),
    ("GET", "/spans"),
    ("GET", "/events"),
    ("POST", "/stop"),
    ("POST", "/resume"),
    ("POST", "/branch"),
    ("POST", "/approve"),
    ("POST", "/feedback"),
]
BODIES = {"/branch": {"span": "s1"}, "/approve": {"answer": "yes"}, "/feedback": {"value": 1}}


@pytest.mark.parametrize("who", [ADA, BOB], ids=["another tenant", "another of that tenant"])
@pytest.mark.parametrize(("method", "what"), VERBS)
def test_a_run_of_somebody_else_does_not_exist(
    server: Serving, run: str, method: str, what: str, who: dict[str, str]
) -> None:
    def asked(name: str) -> httpx.Response:
        body = BODIES.get(what, {}) if method == "POST" else None
        return server.client.request(method, f"{server.base}runs/{name}{what}", json=body, headers=who)

    foreign, missing = asked(run), asked("never-was")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["message"].replace(run, "") == missing.json()["message"].replace("never-was", "")
    assert server.client.get(f"{server.base}runs", headers=who).json()["total"] == 0


def test_whoever_may_only_look_may_not_start(server: Serving, run: str) -> None:
    assert server.client.get(f"{server.base}runs/{run}", headers=READER).status_code == 200
    server.post("runs", 403, headers=READER, message="x")
    server.post(f"runs/{run}/stop", 403, headers=READER)


def test_nobody_unknown_is_answered_and_is_told_how_to_sign_in(server: Serving, run: str) -> None:
    answer = httpx.get(f"{server.base}runs/{run}", trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["code"] == "no_credentials"


def test_every_answer_bears_the_requests_id(server: Serving, run: str) -> None:
    given = {"X-Request-Id": "mine-1"}
    assert server.client.get(f"{server.base}runs/{run}", headers=given).headers["X-Request-Id"] == "mine-1"
    assert server.client.get(f"{server.base}runs/nothing", headers=given).headers["X-Request-Id"] == "mine-1"
    strange = {"X-Request-Id": "a b<script>"}
    made = server.client.get(f"{server.base}runs/{run}", headers=strange).headers["X-Request-Id"]
    assert made.isalnum()
