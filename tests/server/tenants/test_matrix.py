"""Nobody sees or changes what is somebody else's: every verb of every route, over two tenants, on Postgres."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.server.auth import check_routes
from fleet_rlm.server.routes import PUBLIC, ROUTES, WITH_ENTRA
from fleet_rlm.sessions.store.tables.base import PREFIX
from tests.server.tenants.matrix import ABSENT, ROWS, Row, filled, page
from tests.server.tenants.world import WORD, Person, World

PAGE = Path(__file__).parents[3] / "docs" / "tenant-matrix.md"


@pytest.fixture(scope="module")
def ada(deployed: World) -> Person:
    """Somebody with one of everything."""
    return deployed.person(0)


@pytest.fixture(scope="module")
def ids(ada: Person) -> dict[str, str]:
    """The names of what is hers: a session, a run that is over, a span and a file of it, a volume with a file."""
    asked = {"message": f"{WORD} " * 4_000, "session": "ledger", "mode": "direct"}
    started = ada.api("POST", "runs", 201, json=asked)
    run, session = started["run"], started["session"]
    assert ada.finished(run)["status"] == "ok"
    ada.api("PATCH", f"sessions/{session}/memory", json={"section": "scratchpad", "content": f"{WORD} is a cat"})
    ada.api("PATCH", f"sessions/{session}", json={"title": WORD})
    volume = ada.api("GET", "runtime/volumes")["items"][0]["name"]
    upload = {"content": WORD, "headers": {"Content-Type": "application/octet-stream"}}
    ada.api("PUT", f"runtime/volume/file?volume={volume}&path=memory/notes.md", 201, **upload)
    span = ada.api("GET", f"runs/{run}/spans")["items"][0]["id"]
    artifact = ada.api("GET", "artifacts")["items"][0]["id"]
    return {"run": run, "session": session, "span": span, "volume": volume, "artifact": artifact}


@pytest.fixture(scope="module")
def others(deployed: World) -> dict[str, Person]:
    """Carl is of Ada's tenant, Bob is not."""
    return {"Carl": deployed.person(0), "Bob": deployed.person(1)}


def files(person: Person) -> dict[str, bytes]:
    """What lies on the disk for that person, but for what a kernel that runs writes meanwhile."""
    places = [one for kind in ("volumes", "runs") for one in sorted((person.home / kind).rglob("*")) if one.is_file()]
    return {str(one.relative_to(person.home)): one.read_bytes() for one in places if not one.name.endswith(".lock")}


def refusal(row: Row, person: Person, ids: dict[str, str]) -> str:
    """What is said of these ids, which are taken out of it."""
    sent = {} if row.body is None else {"json": filled(row.body, ids)}
    text = person.request(row.verb, row.path.format(**ids), headers=row.headers, **sent).text
    for one in ids.values():
        text = text.replace(one, "ID")
    return text


def test_others_see_and_change_nothing(
    deployed: World, ada: Person, others: dict[str, Person], ids: dict[str, str]
) -> None:
    hers = ids["run"], ids["session"]
    rows, kept = deployed.rows_of(ada, *hers), files(ada)
    assert all(rows[f"{PREFIX}{name}"] for name in ("runs", "sessions", "turns", "events", "spans", "artifacts"))
    told = {
        f"{name}: {row.verb} {row.pattern}": (row.ask(person, ids), row.others)
        for row in ROWS
        for name, person in others.items()
    }
    assert {what: one[0] for what, one in told.items() if one[0] != one[1]} == {}
    assert deployed.rows_of(ada, *hers) == rows
    assert files(ada) == kept


def test_what_is_somebody_elses_is_told_as_what_nobody_has(others: dict[str, Person], ids: dict[str, str]) -> None:
    nobodys = {name: "f" * len(one) for name, one in ids.items()}
    rows = [row for row in ROWS if row.others == ABSENT and row.verb in ("GET", "POST")]
    for row in rows:
        assert refusal(row, others["Bob"], ids) == refusal(row, others["Bob"], nobodys)
    assert len(rows) > 15


def test_their_owner_can_do_all_of_it(ada: Person, ids: dict[str, str]) -> None:
    told = {f"{row.verb} {row.pattern}": (row.ask(ada, ids), row.owner) for row in ROWS}
    assert {what: one[0] for what, one in told.items() if one[0] != one[1]} == {}


def test_every_verb_of_every_route_has_a_row() -> None:
    asked = set(check_routes([*ROUTES, *WITH_ENTRA], PUBLIC))
    rows = [(row.pattern, row.verb) for row in ROWS]
    assert set(rows) == asked
    assert len(rows) == len(set(rows))


def test_the_page_is_the_matrix() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.server.tenants.matrix > docs/tenant-matrix.md"
