"""The two-tenant matrix: every verb of every route, asked by Ada for what is hers, and by others for the same.

    python -m tests.server.tenants.matrix > docs/tenant-matrix.md

`test_matrix` asks a real server, and compares the page; a route without a row fails it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.server.tenants.world import WORD, Person

API = "/fleet/api/v1"
SESSION, RUN = API + r"/sessions/(?P<session>[^/]{1,400})", API + r"/runs/(?P<run>[A-Za-z0-9._-]{1,64})"
ARTIFACT = API + r"/artifacts/(?P<run>[A-Za-z0-9._-]{1,64})/(?P<artifact>[A-Za-z0-9._-]{1,64})"
ABSENT, FORBIDDEN = "404 not_found", "403 permission_denied"

Ids = dict[str, str]


@dataclass(frozen=True)
class Row:
    """One verb of one route.

    Attributes:
        path: the address, with {names} of Ada's ids.
        owner, others: what Ada is told, and what Carl and Bob are; "hers" says that the answer holds what is Ada's.
        body: sent as JSON; a str as it is.
        probe: what is done instead of a request.
        begins: a run, whose end is waited for.
    """

    pattern: str
    verb: str
    path: str
    owner: str
    others: str
    body: Any = None
    probe: Callable[[Person, Ids], str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    begins: bool = False

    def ask(self, person: Person, ids: Ids) -> str:
        """What that person is told."""
        if self.probe is not None:
            return self.probe(person, ids)
        path = self.path.format(**ids)
        body = filled(self.body, ids)
        sent: dict[str, Any] = {"content": body} if isinstance(body, str) else {"json": body} if body else {}
        answer = person.request(self.verb, path, headers=self.headers, **sent)
        if self.begins and answer.status_code < 400:
            person.finished(answer.json()["run"])
        return _told(answer.status_code, answer.content, ids)


def _told(status: int, body: bytes, ids: Ids) -> str:
    if status < 400:
        known = [ids["run"], ids["session"], WORD]
        return f"{status} hers" if any(one.encode() in body for one in known) else str(status)
    told = json.loads(body)
    return f"{status} {told.get('code') or told['error']['code']}"


def filled(body: Any, ids: Ids) -> Any:
    if isinstance(body, dict):
        return {name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()}
    return body


def _drives(person: Person, ids: Ids) -> str:
    """Cancel, approve, and look into what is hers, over one connection."""
    asked = [
        {"type": "cancel", "id": "c", "run": ids["run"]},
        {"type": "approve", "id": "a", "run": ids["run"], "answer": "yes"},
    ]
    told = []
    with person.socket("ws/execution") as connection:
        for one in asked:
            connection.send(json.dumps(one))
            heard = json.loads(connection.recv(60))
            told.append(f"{one['type']}: {heard.get('code', heard['type'])}")
    return "; ".join(told)


def _watches(person: Person, ids: Ids) -> str:
    """Watch her run, then her session."""
    told = []
    for what, query in (("run", f"run={ids['run']}"), ("session", f"session={ids['session']}")):
        with person.socket(f"ws/execution/events?{query}") as connection:
            outcome = "open"
            try:
                heard = str(connection.recv(60 if what == "run" else 2))
                outcome = "hers" if WORD in heard else "open"
            except ConnectionClosed as closed:
                outcome = f"closed {closed.rcvd.code if closed.rcvd else '?'}"
            except TimeoutError:  # nothing goes on there, and it stays open for what will
                pass
        told.append(f"{what}: {outcome}")
    return "; ".join(told)


def _row(pattern: str, verb: str, owner: str, others: str, path: str | None = None, **more: Any) -> Row:
    return Row(pattern, verb, path or pattern, owner, others, **more)


def _session(rest: str, verb: str, owner: str, **more: Any) -> Row:
    return _row(SESSION + rest, verb, owner, ABSENT, f"{API}/sessions/{{session}}{rest}", **more)


def _run(rest: str, verb: str, owner: str, **more: Any) -> Row:
    return _row(RUN + rest, verb, owner, ABSENT, f"{API}/runs/{{run}}{rest}", **more)


def _volume(rest: str, verb: str, owner: str, query: str, **more: Any) -> Row:
    pattern = f"{API}/runtime/volume/{rest}"
    return _row(pattern, verb, owner, ABSENT, f"{pattern}?volume={{volume}}{query}", **more)


QUESTION = {"message": "mine?", "session": "ledger", "mode": "direct"}
NOTES = "&path=memory/notes.md"

ROWS = [
    _row("/fleet/health", "GET", "200", "200"),
    _row("/fleet/ready", "GET", "200", "200"),
    _row("/fleet/openapi.json", "GET", "200", "200"),
    _row(f"{API}/auth/me", "GET", "200", "200"),
    _row(f"{API}/auth/ws-ticket", "POST", "200", "200", body={"path": f"{API}/ws/execution"}),
    _row(f"{API}/sessions", "GET", "200 hers", "200"),
    _row(f"{API}/sessions/state", "GET", "200 hers", "200"),
    _session("", "GET", "200 hers"),
    _session("", "PATCH", "200 hers", body={"title": "renamed"}),
    _session("/turns", "GET", "200 hers"),
    _session("/stats", "GET", "200 hers"),
    _session("/export", "GET", "200 hers"),
    _session("/memory", "GET", "200 hers"),
    _session("/memory", "PATCH", "200 hers", body={"section": "scratchpad", "content": "more", "mode": "append"}),
    _session("/memory/items", "GET", "200 hers"),
    _row(f"{API}/runs", "GET", "200 hers", "200"),
    _run("", "GET", "200 hers"),
    _run("/spans", "GET", "200 hers"),
    _run("/events", "GET", "200 hers"),
    _run("/stop", "POST", "409 conflict"),
    _run("/resume", "POST", "409 conflict", body={"budget": 3}),
    _run("/approve", "POST", "409 conflict", body={"answer": "yes"}),
    _run("/feedback", "POST", "201 hers", body={"value": True}),
    _run("/branch", "POST", "201 hers", body={"span": "{span}"}, begins=True),
    _row(f"{API}/traces/feedback", "POST", "201 hers", ABSENT, body={"trace_id": "{run}", "is_correct": True}),
    _row(
        f"{API}/ws/execution",
        "GET",
        "cancel: conflict; approve: conflict",
        "cancel: not_found; approve: not_found",
        probe=_drives,
    ),
    _row(
        f"{API}/ws/execution/events",
        "GET",
        "run: hers; session: open",
        "run: closed 4404; session: closed 4404",
        probe=_watches,
    ),
    _row(f"{API}/artifacts", "GET", "200 hers", "200"),
    _row(ARTIFACT, "GET", "200 hers", ABSENT, f"{API}/artifacts/{{run}}/{{artifact}}"),
    _row(f"{API}/runtime/volumes", "GET", "200 hers", "200"),
    _volume("tree", "GET", "200 hers", ""),
    _volume("file", "GET", "200 hers", NOTES),
    _volume("download", "GET", "200 hers", NOTES),
    _volume("file", "PUT", "201", NOTES, body="overwritten", headers={"Content-Type": "application/octet-stream"}),
    _volume("file", "DELETE", "204", NOTES),
    _row(f"{API}/runtime/settings", "GET", "200", "200"),
    _row(f"{API}/runtime/settings", "PATCH", FORBIDDEN, FORBIDDEN, body={"updates": {"FLEET_LM": "fleet/offline"}}),
    _row(f"{API}/runtime/status", "GET", "200", "200"),
    _row(f"{API}/runtime/tests/lm", "POST", FORBIDDEN, FORBIDDEN),
    _row(f"{API}/runtime/tests/sandbox", "POST", FORBIDDEN, FORBIDDEN),
    _row(f"{API}/audit", "GET", FORBIDDEN, FORBIDDEN),
    _row(f"{API}/lm/chat/completions", "POST", "401 invalid_token", "401 invalid_token", body={"model": "twin"}),
    _row(f"{API}/lm/models", "GET", "401 invalid_token", "401 invalid_token"),
    _row(f"{API}/runs", "POST", "201 hers", "201", body=QUESTION, begins=True),
    _session("", "DELETE", "200 hers"),
    _session("/restore", "POST", "200 hers"),
]
"""In an order in which Ada can do all of it."""

HEAD = """\
# The two-tenant matrix

Written by `python -m tests.server.tenants.matrix`. `tests/server/tenants/test_matrix.py` asks a real server with
`AUTH_MODE=entra`, its rows in Postgres under the role that row-level security binds, for what belongs to Ada: as Carl
of her tenant and Bob of another, both with the role `Fleet.Run`, then as Ada. "hers" says that the answer holds
something of Ada's; no answer to the others does. After them, every row Ada has in the database and every file of her
runs and volumes are what they were. What others are told of her ids is, word for word, what they are told of ids that
nobody has.

A run that others start in a session of the same name is in a session of their own. Model calls are open to kernels'
tokens only. The audit, of one's own tenant, and the server's settings are open to `Fleet.Admin`; the settings cannot be
changed unless `APP_ENV=local`.

| verb | route | Ada | Carl and Bob |
|---|---|---|---|
"""


def page() -> str:
    """docs/tenant-matrix.md."""
    lines = [f"| {row.verb} | `{_plain(row)}` | {row.owner} | {row.others} |\n" for row in ROWS]
    return HEAD + "".join(lines)


def _plain(row: Row) -> str:
    return row.path.removeprefix("/fleet").partition("?")[0]


if __name__ == "__main__":
    print(page(), end="")
