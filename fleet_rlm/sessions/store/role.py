"""Whether a Postgres role is one that row-level security binds: asked before anything else is.

A superuser, a role that bypasses row-level security, the tables' owner, or a member of such a role would see every
tenant. A server that finds itself to be one refuses to start.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from fleet_rlm.sessions.store.errors import UnsafeRole
from fleet_rlm.sessions.store.schema import RUNTIME_ROLE
from fleet_rlm.sessions.store.tables import Base

_ABOVE = """
select r.rolname, r.rolsuper, r.rolbypassrls from pg_roles r
where (r.rolsuper or r.rolbypassrls) and pg_has_role(current_user, r.oid, 'MEMBER')
order by r.rolname <> current_user limit 1
"""

_TABLES = """
select c.relname, pg_get_userbyid(c.relowner) as owner, pg_has_role(current_user, c.relowner, 'MEMBER') as owned,
       c.relrowsecurity and c.relforcerowsecurity as walled
from pg_class c
where c.oid = any(array(select to_regclass(name) from unnest(%s::text[]) name))
"""


async def check_role(connection: AsyncConnection) -> None:
    """Refuse a role that row-level security does not bind, and tables without it.

    Raises:
        UnsafeRole: which of these it is, and what to connect as.
    """
    me = (await connection.exec_driver_sql("select current_user")).scalar_one()
    above = (await connection.exec_driver_sql(_ABOVE)).first()
    if above is not None:
        name = above.rolname
        power = "is a superuser" if above.rolsuper else "bypasses row-level security"
        raise UnsafeRole(_refusal(me, power if name == me else f"is a member of {name}, which {power.lower()}"))
    names = list(Base.metadata.tables)
    for table in (await connection.exec_driver_sql(_TABLES, (names,))).all():
        if table.owned:
            whose = "owns" if table.owner == me else f"is a member of {table.owner}, which owns"
            raise UnsafeRole(_refusal(me, f"{whose} the table {table.relname}"))
        if not table.walled:
            raise UnsafeRole(
                f"row-level security is not forced on {table.relname}; run 'fleet db upgrade' as the database's owner"
            )


def _refusal(role: str, reason: str) -> str:
    return (
        f"the database role {role} {reason}, so it could see every tenant; let DATABASE_URL name a role made by SQL "
        f"with: create role {RUNTIME_ROLE} login password '...' nosuperuser nobypassrls"
    )
