"""What is limited, noted, counted and told, as people at a real server meet it."""

from __future__ import annotations

import datetime
import json
import math
import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fleet_rlm.lm.catalog import chat_models
from fleet_rlm.server.auth.body import BODY_BYTES
from fleet_rlm.server.services.allowances import COST, MICRO, TENANT, USER
from fleet_rlm.server.services.audit import NOBODY
from fleet_rlm.server.services.execution.handlers import TASKS, TOO_MUCH
from tests.server.services.conftest import Model
from tests.server.tenants.conftest import PRICED, WRITES
from tests.server.tenants.world import WORD, Person, World

WAIT_S = 30


def until(found: Callable[[], Any]) -> Any:
    """What is found once it is there; it is written beside the request, and nothing tells when."""
    end = time.monotonic() + WAIT_S
    while not (one := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return one


def figures(deployed: World) -> dict[str, float]:
    """All of our metrics as Prometheus reads them, by name and labels."""
    text = deployed.server.client.get(f"{deployed.server.origin}/metrics").text
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("fleet_rlm_")
        for sample in family.samples
    }


def audited(deployed: World, person: Person) -> list[tuple[str, str | None, str]]:
    """What the audit has of a person, the oldest first."""
    entries = deployed.scope(person).audit.list(actor=person.user, limit=100).items
    return [(one.action, one.object, one.outcome) for one in reversed(entries)]


def started(person: Person, message: str = "What?", session: str = "limits") -> httpx.Response:
    """What asking a question is answered with."""
    asked = {"message": message, "session": session, "mode": "direct"}
    return person.request("POST", "/fleet/api/v1/runs", json=asked)


@pytest.fixture(scope="module")
def eve(deployed: World) -> Person:
    """Of the third tenant, who may begin two runs a day, one at a time, and use some tokens."""
    person = deployed.person(2)
    settings = deployed.scope(person).settings
    settings.set(TENANT, {"runs_per_day": 10, "tokens_per_day": 50_000}, for_tenant=True)
    settings.set(USER, {"runs_per_day": 2, "runs_at_once": 1}, for_tenant=True)
    return person


@pytest.fixture(scope="module")
def person(deployed: World) -> Person:
    """Somebody of a tenant without quotas."""
    return deployed.person(0)


def test_a_quota_refuses_the_start_and_says_when_it_renews(deployed: World, model: Model, eve: Person) -> None:
    gate = model.gate("held back")
    first = started(eve, "held back").json()["run"]
    busy = started(eve, session="another")
    assert (busy.status_code, busy.json()["code"]) == (429, "quota_exceeded")
    assert "wait until one ends" in busy.json()["message"]
    gate.open()
    assert eve.finished(first)["status"] == "ok"
    second = started(eve).json()["run"]
    assert eve.finished(second)["status"] == "ok"
    spent = started(eve)
    assert (spent.status_code, spent.json()["code"]) == (429, "quota_exceeded")
    assert spent.json()["message"].startswith("you may use 2 runs a day")
    assert "renews at 00:00 UTC" in spent.json()["message"]
    assert 0 < int(spent.headers["Retry-After"]) <= 86_400
    with eve.socket("ws/execution") as connection:
        connection.send(json.dumps({"type": "message", "id": "m", "content": "What?", "session_id": "limits"}))
        assert json.loads(connection.recv(WAIT_S))["code"] == "quota_exceeded"
    noted = until(lambda: one if len(one := audited(deployed, eve)) == 5 else None)
    denied = ("run.start", None, "denied")
    assert noted == [("run.start", first, "ok"), denied, ("run.start", second, "ok"), denied, denied]


def test_tokens_are_counted_as_used_and_refused_at_the_gateway(deployed: World, eve: Person, model: Model) -> None:
    run = eve.api("GET", "runs")["items"]
    used = sum(one["usage"]["tokens_in"] + one["usage"]["tokens_out"] for one in run)
    assert used > 0
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    quotas = deployed.scope(eve).quotas
    assert until(lambda: quotas.get("tokens_per_day", period=today).used == used)
    lease = json.loads((eve.home / "sessions" / f"{run[0]['session']}.lease").read_text())
    token = deployed.server.environment_of(lease["pid"])["OPENAI_API_KEY"]
    body = {"model": "twin", "messages": [{"role": "user", "content": "x" * 200_000}]}
    before = model.server.calls
    bearer = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{deployed.server.base}lm/chat/completions", headers=bearer, json=body, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota_exceeded")
    assert answer.headers["X-Should-Retry"] == "false"
    assert "Retry-After" not in answer.headers  # some clients wait as long as they are told, and it says hours
    assert model.server.calls == before
    assert quotas.get("tokens_per_day", period=today).used == used


def test_a_run_whose_quota_is_used_up_on_its_way_is_budget_stopped(deployed: World, model: Model) -> None:
    person = deployed.person(0)
    deployed.scope(person).settings.set(USER, {"tokens_per_day": 1})
    told = person.finished(started(person, "never asked").json()["run"])
    assert told["status"] == "exhausted"
    assert told["error"].startswith("budget: you may use 1 tokens a day, and that is used up; it renews at 00:00 UTC")
    assert told["usage"]["llm_calls"] == model.asked("never asked") == 0
    person.api("POST", f"runs/{told['id']}/resume", json={})  # it may go on, and is told the same as long as it holds
    assert person.finished(told["id"])["status"] == "exhausted"


def test_dollars_are_charged_at_the_gateway_as_each_call_ends(deployed: World) -> None:
    person = deployed.person(0)
    deployed.scope(person).settings.set(USER, {COST: 0.5})
    asked = {"message": "What?", "session": "priced", "mode": "direct", "model": PRICED}
    used = person.finished(person.api("POST", "runs", 201, json=asked)["run"])["usage"]
    price = chat_models()[PRICED].price
    assert price is not None
    assert used["llm_calls"] == 1
    cost = math.ceil(price.of(used["tokens_in"], used["tokens_out"]) * MICRO)
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    quotas = deployed.scope(person).quotas
    assert until(lambda: quotas.get(f"{COST} of {person.user}", period=today).used) == cost
    assert until(lambda: not quotas.reserved(f"{COST} of {person.user}", period=today))


def test_what_is_larger_or_more_than_the_caps_is_refused(deployed: World, person: Person) -> None:
    large = person.request("POST", "/fleet/api/v1/runs", content=b"x" * (BODY_BYTES + 1))
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    assert "1,048,576 bytes here (1 MiB)" in large.json()["message"]
    with person.socket("ws/execution") as connection:
        for _ in range(TASKS + 1):  # the kernel is about to start, and all but the first wait for it
            connection.send(json.dumps({"type": "message", "content": "What?", "session_id": "caps"}))
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(connection.recv, None))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == TOO_MUCH


def test_who_asks_too_often_is_told_when_to_come_back(deployed: World) -> None:
    person = deployed.person(1)
    asked = 0
    while (answer := person.request("POST", "/fleet/api/v1/sessions/none/restore")).status_code == 404:
        asked += 1
        assert asked < 5 * WRITES
    assert asked >= WRITES  # and as many as came back while we asked
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert person.request("GET", "/fleet/api/v1/sessions").status_code == 200
    assert deployed.person(1).request("POST", "/fleet/api/v1/sessions/none/restore").status_code == 404


def test_the_audit_says_who_did_what_and_holds_no_token_and_no_content(deployed: World, model: Model) -> None:
    person = deployed.person(1, "Fleet.Run", "Fleet.Admin")
    gate = model.gate("never answered")
    stopped = started(person, f"never answered {WORD}").json()["run"]
    person.api("POST", f"runs/{stopped}/stop", 202)
    person.finished(stopped)
    gate.open()
    person.api("POST", f"runs/{stopped}/resume", json={})
    person.finished(stopped)
    branch = person.api("POST", f"runs/{stopped}/branch", 201, json={"span": "s1"})["run"]
    person.finished(branch)
    person.request("GET", f"/fleet/api/v1/runs/{stopped}/events", headers={"Accept": "application/x-ndjson"})
    person.request("GET", "/fleet/api/v1/sessions/limits/export")
    person.api("GET", "runtime/settings")
    person.request("PATCH", "/fleet/api/v1/runtime/settings", json={"updates": {"FLEET_BUDGET": "oops"}})
    expected = [
        ("run.start", stopped, "ok"),
        ("run.stop", stopped, "ok"),
        ("run.resume", stopped, "ok"),
        ("run.branch", branch, "ok"),
        ("run.export", stopped, "ok"),
        ("session.export", "limits", "ok"),
        ("settings.read", None, "ok"),
        ("settings.change", None, "failed"),
    ]
    assert until(lambda: one if len(one := audited(deployed, person)) == len(expected) else None) == expected
    person.request("GET", "/fleet/api/v1/runs", headers={"Authorization": f"Bearer {person.token[:-9]}tampered0"})
    trail = deployed.store.scoped(NOBODY.account()).audit
    assert until(lambda: [one for one in trail.list().items if one.detail["code"] == "invalid_token"])
    with psycopg.connect(deployed.database.admin) as admin:
        rows = admin.execute("select t::text from fleet_audit t").fetchall()
    assert len(rows) > len(expected)
    assert not [row for row in rows if WORD in row[0] or person.token[-40:] in row[0]]


def test_the_audit_is_read_by_an_administrator_of_its_own_tenant(deployed: World) -> None:
    user, admin, other = deployed.person(0), deployed.person(0, "Fleet.Admin"), deployed.person(1, "Fleet.Admin")
    for person in (user, deployed.person(0, "Fleet.Read")):
        answer = person.request("GET", "/fleet/api/v1/audit")
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    path = f"audit?actor={user.user}&action=permission_denied"
    (entry,) = until(lambda: admin.api("GET", path)["items"])
    assert (entry["object"], entry["outcome"], entry["detail"]) == ("fleet.audit", "denied", {"code": "read"})
    assert other.api("GET", path)["items"] == []
    assert until(lambda: [one for one in audited(deployed, admin) if one == ("audit.read", None, "ok")])


def test_failed_sign_ins_are_slowed_down_and_a_right_token_is_let_in(deployed: World) -> None:
    person = deployed.person(0)
    wrong = {"Authorization": f"Bearer {person.token[:-9]}tampered1"}
    trail = deployed.store.scoped(NOBODY.account()).audit
    before = trail.list().total
    statuses = []
    for _ in range(100):
        answer = person.request("GET", "/fleet/api/v1/runs", headers=wrong)
        statuses.append(answer.status_code)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) < 60
    assert answer.json()["code"] == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert person.request("GET", "/fleet/api/v1/runs").status_code == 200  # Entra's tokens cannot be guessed
    page = httpx.get(f"{deployed.server.origin}/fleet/oauth/callback?state=none", trust_env=False)
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) >= 1
    assert trail.list().total <= before + 12  # five of each kind, and what was folded


def test_metrics_count_runs_calls_and_refusals_and_name_nobody(deployed: World, person: Person) -> None:
    before = figures(deployed)
    with person.socket("ws/execution") as connection:
        assert figures(deployed)["fleet_rlm_ws_connections drive"] >= 1
        run = started(person).json()["run"]
        usage = person.finished(run)["usage"]
        del connection
    person.request("GET", "/fleet/api/v1/runs/none")
    after = figures(deployed)
    changed = {name: after[name] - before.get(name, 0) for name in after}
    assert changed["fleet_rlm_runs_started_total"] == changed["fleet_rlm_runs_ended_total ok"] == 1
    assert changed["fleet_rlm_lm_calls_total answered"] == usage["llm_calls"]
    assert changed["fleet_rlm_lm_tokens_total"] == usage["tokens_in"] + usage["tokens_out"]
    assert changed["fleet_rlm_refusals_total not_found"] == 1
    assert changed["fleet_rlm_event_relay_lag_seconds_count"] > 0
    assert after["fleet_rlm_runs_active"] == 0
    assert after["fleet_rlm_kernels"] >= 1
    assert "fleet_rlm_audit_failures_total" in after
    names = " ".join(after)
    assert not [one for one in (person.user, person.tenant, run, "limits") if one in names]


def test_the_servers_events_tell_of_runs_without_content(deployed: World, person: Person) -> None:
    address = f"{deployed.server.origin.replace('http', 'ws', 1)}/api/events/subscribe"
    headers = {"Authorization": deployed.server.client.headers["Authorization"]}
    with connect(address, additional_headers=headers, proxy=None) as events:
        run = started(person, WORD).json()["run"]
        told: list[dict[str, Any]] = []
        while len(told) < 2:
            told += [one for one in [json.loads(events.recv(WAIT_S))] if "/fleet_rlm/" in one["schema_id"]]
    assert [one.pop("schema_id").split("/")[-2] for one in told] == ["run_started", "run_ended"]
    facts = [{name: value for name, value in one.items() if not name.startswith("_")} for one in told]
    assert facts[0] == {"run": run, "from": 0}
    assert facts[1].pop("seconds") > 0
    assert facts[1].pop("events") > 4
    assert facts[1] == {"run": run, "status": "ok"}


def test_who_is_suspended_in_the_store_is_not_let_in(deployed: World) -> None:
    person = deployed.person(1)
    users = deployed.scope(person).users
    deployed.scope(person).tenants.found()
    users.admit()
    users.change(person.user, suspended=True)
    answer = person.request("GET", "/fleet/api/v1/runs")
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_forbidden")
