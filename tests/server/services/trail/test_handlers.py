"""The audit trail over REST: by those who may, of their own tenant, page by page while it grows."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.server.serving import Serving

ADMIN = {"X-Fleet-Debug-Tenant": "audited", "X-Fleet-Debug-User": "root"}
ADA = {"X-Fleet-Debug-Tenant": "audited", "X-Fleet-Debug-User": "ada", "X-Fleet-Debug-Roles": "Fleet.Run"}
STRANGER = {"X-Fleet-Debug-Tenant": "elsewhere", "X-Fleet-Debug-User": "root"}
WAIT_S = 30


def asked(server: Serving, who: dict[str, str], expected: int = 200, path: str = "audit", **query: Any) -> Any:
    answer = server.client.get(server.base + path, headers=who, params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def noted(server: Serving) -> list[dict[str, Any]]:
    """What the trail has after Ada asked for what she may not, and an administrator looked at the settings."""
    for _ in range(2):
        assert asked(server, ADA, 403)["code"] == "permission_denied"
    server.client.post(f"{server.base}runtime/tests/lm", headers=ADA)
    asked(server, ADMIN, path="runtime/settings")
    end = time.monotonic() + WAIT_S
    while len(items := asked(server, ADMIN, action="permission_denied")["items"]) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)  # entries are written beside the request, and nothing tells when
    return list(items)


def test_what_somebody_may_not_is_noted_with_what_they_asked_for(noted: list[dict[str, Any]]) -> None:
    assert {(one["actor"], one["outcome"]) for one in noted} == {("ada", "denied")}
    told = [(one["object"], one["detail"]) for one in noted]
    assert told == [
        ("fleet.runtime", {"code": "execute"}),
        ("fleet.audit", {"code": "read"}),
        ("fleet.audit", {"code": "read"}),
    ]


def test_another_tenants_administrator_sees_nothing_of_it(server: Serving, noted: list[dict[str, Any]]) -> None:
    theirs = asked(server, STRANGER)
    assert {one["actor"] for one in theirs["items"]} <= {"root"}
    assert asked(server, STRANGER, actor="ada")["items"] == []
    assert not {one["hash"] for one in theirs["items"]} & {one["hash"] for one in noted}


def test_the_cursor_neither_repeats_nor_leaves_out_while_entries_are_added(
    server: Serving, noted: list[dict[str, Any]]
) -> None:
    whole = asked(server, ADMIN, limit=1_000)
    assert whole["cursor"] is None
    assert not whole["has_more"]
    seen, cursor = [], {}
    while True:
        page = asked(server, ADMIN, limit=2, **cursor)  # reading is noted, so the trail grows meanwhile
        assert not seen or page["items"][0]["seq"] < seen[-1]
        seen += [one["seq"] for one in page["items"]]
        if not page["has_more"]:
            assert page["cursor"] is None
            break
        assert page["cursor"] == seen[-1]
        cursor = {"cursor": page["cursor"]}
    assert seen == list(range(seen[0], -1, -1))
    assert set(seen) >= {one["seq"] for one in whole["items"]}


def test_entries_are_found_by_who_what_how_and_when(server: Serving, noted: list[dict[str, Any]]) -> None:
    def found(**query: Any) -> list[int]:
        return [one["seq"] for one in asked(server, ADMIN, **query)["items"]]

    denied = [one["seq"] for one in noted]
    assert found(actor="ada", outcome="denied", action="permission_denied") == denied
    assert found(object="fleet.runtime") == denied[:1]
    assert found(actor="ada", before=noted[0]["at"]) == denied[1:]
    assert found(actor="ada", after=noted[1]["at"]) == denied[:2]
    assert found(action="audit.read", outcome="ok")
    for wrong in ({"outcome": "maybe"}, {"cursor": "-1"}, {"limit": "0"}, {"after": "2026-11-25"}, {"user": "ada"}):
        assert asked(server, ADMIN, 422, **wrong)["code"] == "invalid_request"


def test_there_is_no_way_to_write_or_delete(server: Serving) -> None:
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        assert server.client.request(verb, f"{server.base}audit", headers=ADMIN).status_code in (403, 405)
