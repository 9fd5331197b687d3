"""Admission, settings, memory, datasets and the audit."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
import sqlalchemy.exc

from fleet_rlm.core.errors import UserError
from fleet_rlm.core.loop import run_sync
from fleet_rlm.sessions.store import NameTaken, NotAdmitted, NotFound, Scope
from tests.sessions.store.logs import begun
from tests.twins.postgres import Database


def test_nobody_of_an_unknown_tenant_is_admitted(mine: Scope) -> None:
    with pytest.raises(NotAdmitted, match="tenant acme is not known here"):
        mine.users.admit()
    mine.tenants.found("Acme")
    assert mine.users.admit(name="Ada", role="admin").role == "admin"
    assert mine.users.admit(role="member").role == "admin"  # who is known keeps their role
    assert mine.users.admit().name == "Ada"


def test_who_is_suspended_is_not_admitted(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    for scope in (mine, theirs):
        scope.tenants.found()
    colleagues.users.admit()
    mine.users.change("carl", suspended=True)
    with pytest.raises(NotAdmitted, match="user carl is suspended"):
        colleagues.users.admit()
    mine.users.change("carl", suspended=False, role="admin")
    assert colleagues.users.admit().role == "admin"
    mine.tenants.suspend()
    with pytest.raises(NotAdmitted, match="tenant acme is suspended"):
        mine.users.admit()
    theirs.users.admit()
    mine.tenants.suspend(False)
    mine.users.admit()
    with pytest.raises(NotFound):
        mine.users.change("bob", suspended=True)
    with pytest.raises(NotFound):
        Scope(mine.store, type(mine.identity)("third", "eve")).tenants.get()


def test_a_users_setting_wins_over_the_tenants(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    mine.settings.set("model", "openai/m", for_tenant=True)
    mine.settings.set("model", {"name": "own"})
    assert mine.settings.get("model") == {"name": "own"}
    assert colleagues.settings.get("model") == "openai/m"
    assert theirs.settings.get("model", "default") == "default"
    mine.settings.set("off", None)
    assert mine.settings.all() == {"model": {"name": "own"}, "off": None}
    mine.settings.unset("model")
    mine.settings.unset("model")
    assert mine.settings.get("model") == "openai/m"


def test_memory_is_of_one_session_or_of_all(mine: Scope, colleagues: Scope) -> None:
    mine.sessions.create("s")
    mine.sessions.create("t")
    fact = mine.memory.write("fact", "deploy 7 broke checkout", session="s", provenance={"run": "r1"})
    mine.memory.write("persona", "terse")
    mine.memory.write("fact", "of t", session="t")
    assert {memory.text for memory in mine.memory.list(session="s").items} == {"deploy 7 broke checkout", "terse"}
    assert [memory.id for memory in mine.memory.list(kind="fact", search="DEPLOY").items] == [fact.id]
    changed = mine.memory.write("fact", "deploy 8 did", session="s", id=fact.id)
    assert (changed.id, changed.created_at, changed.text) == (fact.id, fact.created_at, "deploy 8 did")
    assert mine.memory.get(fact.id) == changed
    for attempt in (
        lambda: colleagues.memory.get(fact.id),
        lambda: colleagues.memory.write("fact", "stolen", id=fact.id),
        lambda: colleagues.memory.delete(fact.id),
        lambda: mine.memory.write("fact", "x", session="none"),
    ):
        with pytest.raises(NotFound):
            attempt()
    mine.memory.delete(fact.id)
    assert mine.memory.list().total == 2


def test_feedback_is_kept_with_its_run(mine: Scope) -> None:
    mine.runs.begin(begun().events_since(0)[0])  # type: ignore[arg-type]
    mine.feedback.give("r1", "correct", False, comment="it was deploy 8", expected={"deploy": 8}, span="s1")
    (given,) = mine.feedback.list("r1").items
    assert (given.value, given.expected, given.span, given.user_id) == (False, {"deploy": 8}, "s1", "ada")


def test_a_dataset_is_the_tenants(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    made = mine.datasets.create("deploys", [{"input": {"q": 1}, "expected": 7}, {"input": 2}], description="D")
    assert colleagues.datasets.add("deploys", [{"input": 3, "metadata": {"m": 1}}]) == 3
    page = colleagues.datasets.examples(made.id, limit=2)
    assert [(one.index, one.input, one.expected) for one in page.items] == [(0, {"q": 1}, 7), (1, 2, None)]
    assert (page.total, page.has_more) == (3, True)
    assert [one.name for one in mine.datasets.list(search="DEP").items] == ["deploys"]
    with pytest.raises(NameTaken):
        colleagues.datasets.create("deploys")
    with pytest.raises(NotFound):
        theirs.datasets.examples("deploys")
    with pytest.raises(UserError, match="example 3 must be a mapping with input"):
        mine.datasets.add("deploys", [{"inputs": 1}])
    mine.datasets.delete("deploys")
    assert mine.datasets.list().total == 0


def test_the_audit_is_a_chain_that_is_only_added_to(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    async def all_at_once() -> None:
        both = (mine.audit, colleagues.audit)
        await asyncio.gather(*(trail.arecord("run.start", object=f"r{n}") for n in range(5) for trail in both))

    asyncio.run(all_at_once())
    theirs.audit.record("login", outcome="denied", detail={"reason": "nul \x00", "tries": 3})
    assert mine.audit.list().total == 10
    assert [entry.seq for entry in mine.audit.list(actor="carl", limit=100).items] == sorted(
        (entry.seq for entry in mine.audit.list(actor="carl").items), reverse=True
    )
    assert mine.audit.verify() is theirs.audit.verify() is None
    with pytest.raises(UserError, match="text or a whole number"):
        mine.audit.record("x", detail={"cost": 0.1})  # type: ignore[dict-item]


@pytest.mark.parametrize("statement", ["update fleet_audit set outcome = 'x'", "delete from fleet_audit"])
def test_the_database_refuses_to_change_the_audit(mine: Scope, statement: str) -> None:
    mine.audit.record("login")

    async def tamper() -> None:
        async with mine.unit(writes=True) as unit:
            await (await unit._session.connection()).exec_driver_sql(
                f"{statement} where fleet_audit.tenant_id = {'%s' if unit.is_postgres else '?'}".replace("%s", "%(t)s"),
                {"t": "acme"} if unit.is_postgres else ("acme",),
            )

    with pytest.raises(sqlalchemy.exc.DBAPIError, match=r"permission denied|only added to"):
        run_sync(tamper())


def test_what_the_owner_changed_all_the_same_is_found(database: Database) -> None:
    from fleet_rlm.sessions.store import LOCAL, open_store

    trail = open_store(database.app).scoped(LOCAL).audit
    for number in range(4):
        trail.record("run.start", object=f"r{number}")
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("update fleet_audit set object = 'r9' where seq = 2")
        assert trail.verify() == 2
        admin.execute("update fleet_audit set object = 'r2' where seq = 2")
        assert trail.verify() is None
        admin.execute("delete from fleet_audit where seq = 1")
        assert trail.verify() == 1
