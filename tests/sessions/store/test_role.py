"""A server refuses to work with a role that could see every tenant, and says why."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import make_url

from fleet_rlm.sessions.store import UnsafeRole, open_store
from fleet_rlm.sessions.store.tables import Base
from tests.twins.postgres import APP, OWNER, Database, Postgres


def as_role(database: Database, role: str) -> str:
    return make_url(database.app).set(username=role).render_as_string(hide_password=False)


def test_the_runtime_role_may_work(database: Database) -> None:
    open_store(database.app).open()


def test_a_superuser_is_refused(database: Database) -> None:
    with pytest.raises(UnsafeRole, match=r"postgres is a superuser, so it could see every tenant; .* create role"):
        open_store(database.admin).open()


def test_the_owner_of_the_tables_is_refused(database: Database) -> None:
    with pytest.raises(UnsafeRole, match=f"{OWNER} owns the table fleet_"):
        open_store(database.owner).open()


@pytest.mark.parametrize(
    ("role", "options", "told"),
    [
        ("r_bypass", "bypassrls", "r_bypass bypasses row-level security"),
        ("r_member", f"in role {OWNER}", f"r_member is a member of {OWNER}, which owns the table"),
        ("r_super", "in role r_bypass", "r_super is a member of r_bypass, which bypasses row-level security"),
    ],
)
def test_a_role_with_a_way_around_is_refused(
    postgres: Postgres, database: Database, role: str, options: str, told: str
) -> None:
    if "r_bypass" in options:
        postgres.execute("drop role if exists r_bypass")
        postgres.execute("create role r_bypass bypassrls")
    postgres.execute(f"create role {role} login {options}")
    try:
        with pytest.raises(UnsafeRole, match=told):
            open_store(as_role(database, role)).open()
    finally:
        postgres.execute(f"drop role {role}")
        postgres.execute("drop role if exists r_bypass")


def test_a_table_without_its_wall_is_refused(own_database: Database) -> None:
    with psycopg.connect(own_database.owner) as owner:
        owner.execute("alter table fleet_spans no force row level security")
    with pytest.raises(UnsafeRole, match="not forced on fleet_spans; run 'fleet db upgrade'"):
        open_store(own_database.app).open()


def test_every_table_of_a_tenant_has_its_wall(database: Database) -> None:
    with psycopg.connect(database.owner) as owner:
        walled = owner.execute(
            "select relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' "
            "where relkind = 'r' and relrowsecurity and relforcerowsecurity"
        ).fetchall()
        policies = owner.execute("select tablename, qual = with_check, qual from pg_policies").fetchall()
    assert {name for (name,) in walled} == set(Base.metadata.tables)
    assert {name for name, *_ in policies} == set(Base.metadata.tables)
    assert all(same and "NULLIF" in qual and "SELECT" in qual for _, same, qual in policies)


def test_the_runtime_role_may_do_no_more_than_it_needs(database: Database) -> None:
    with psycopg.connect(database.owner) as owner:
        rows = owner.execute(
            "select table_name, string_agg(lower(privilege_type), ', ' order by privilege_type) "
            "from information_schema.role_table_grants where grantee = %s group by table_name",
            (APP,),
        ).fetchall()
    granted = dict(rows)
    for mapper in Base.registry.mappers:
        assert set(granted[mapper.class_.__tablename__].split(", ")) == set(mapper.class_.GRANTS.split(", "))
    assert granted["fleet_version"] == "select"
    assert "update" not in granted["fleet_audit"] + granted["fleet_events"]
