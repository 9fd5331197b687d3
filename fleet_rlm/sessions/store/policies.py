"""The second wall between tenants: Postgres itself shows a role only the rows of the tenant its transaction names.

Alembic does not see policies and grants, so they are not written by hand into revisions: one function raises the wall
of one table, whatever it had before, and every upgrade runs it for every table of the schema. A table that is added
later cannot be forgotten.

`nullif` is there because the setting is '' and not NULL after its first use in a connection; the sub-select makes
Postgres read it once per statement instead of once per row.
"""

from __future__ import annotations

from sqlalchemy import Connection

from fleet_rlm.sessions.store.errors import UnsafeRole
from fleet_rlm.sessions.store.schema import VERSION_TABLE
from fleet_rlm.sessions.store.tables import Base

SETTING = "app.tenant_id"
"""What a transaction names its tenant with, by `set_config(…, true)` and in no other way."""

WALL = f"""
create or replace function fleet_raise_wall(wall_table text, runtime_role text, may text) returns void
language plpgsql as $$
begin
  execute format('alter table %I enable row level security', wall_table);
  execute format('alter table %I force row level security', wall_table);
  execute format('drop policy if exists of_tenant on %I', wall_table);
  execute format(
    'create policy of_tenant on %I using (tenant_id = (select nullif(current_setting(''{SETTING}'', true), '''')))'
    ' with check (tenant_id = (select nullif(current_setting(''{SETTING}'', true), '''')))', wall_table);
  execute format('revoke all on %I from public, %I', wall_table, runtime_role);
  execute format('grant %s on %I to %I', may, wall_table, runtime_role);
end $$
"""


def raise_walls(connection: Connection, runtime_role: str) -> None:
    """Protect every table of a tenant and grant the runtime role what it needs; doing it again is harmless.

    Raises:
        UnsafeRole: the runtime role does not exist.
    """
    found = connection.exec_driver_sql("select 1 from pg_roles where rolname = %s", (runtime_role,)).scalar()
    if found is None:
        raise UnsafeRole(
            f"there is no role {runtime_role!r} for servers to connect as; make it with SQL (not in a provider's "
            f"console, whose roles may bypass row-level security): create role {runtime_role} login password '...' "
            "nosuperuser nobypassrls"
        )
    connection.exec_driver_sql(WALL.replace("%", "%%"))
    quoted = connection.dialect.identifier_preparer.quote(runtime_role)
    schema = connection.exec_driver_sql("select current_schema()").scalar_one()
    connection.exec_driver_sql(f"grant usage on schema {schema} to {quoted}")
    connection.exec_driver_sql(f"grant select on {VERSION_TABLE} to {quoted}")
    for mapper in Base.registry.mappers:
        model = mapper.class_
        connection.exec_driver_sql(
            "select fleet_raise_wall(%s, %s, %s)", (model.__tablename__, runtime_role, model.GRANTS)
        )
    connection.exec_driver_sql("revoke all on function fleet_raise_wall from public")
