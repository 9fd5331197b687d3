"""Who is admitted, and what is set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import or_, select, update

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store.errors import NotAdmitted, NotFound
from fleet_rlm.sessions.store.page import LIMIT, Page
from fleet_rlm.sessions.store.tables import Setting, Tenant, User
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, verb


class Tenants(Verbs):
    """The scope's own tenant; no other is visible."""

    @verb
    async def afound(self, name: str | None = None) -> Tenant:
        """Make the tenant known, so that its users can be admitted; once it is, this changes nothing."""
        async with self._write() as unit:
            await unit.insert(Tenant(name=name), again="stays")
            tenant = await unit.first(select(Tenant))
            assert tenant is not None
            return tenant

    @verb
    async def aget(self) -> Tenant:
        """The tenant.

        Raises:
            NotFound: it is not known here.
        """
        async with self._read() as unit:
            tenant = await unit.first(select(Tenant))
        if tenant is None:
            raise NotFound("tenant", self.identity.tenant)
        return tenant

    @verb
    async def asuspend(self, suspended: bool = True) -> None:
        """Admit none of its users any more, or again.

        Raises:
            NotFound: it is not known here.
        """
        async with self._write() as unit:
            if not await unit.change(update(Tenant).values(status="suspended" if suspended else "active")):
                raise NotFound("tenant", self.identity.tenant)

    found = blocking(afound)
    get = blocking(aget)
    suspend = blocking(asuspend)


class Users(Verbs):
    """The users of the tenant."""

    @verb
    async def aadmit(self, *, name: str | None = None, role: str = "member") -> User:
        """Let the scope's user in: makes them known at the first time, and notes that they were here.

        Args:
            name: how they are called, for people.
            role: theirs when they are new; a known user keeps the role they have.

        Raises:
            NotAdmitted: the tenant is not known here, or it or the user is suspended.
        """
        user = User(id=self.identity.user, name=name, role=role)
        async with self._write() as unit:
            tenant = await unit.first(select(Tenant))
            if tenant is None or tenant.status != "active":
                state = "not known here" if tenant is None else tenant.status
                raise NotAdmitted(f"tenant {self.identity.tenant} is {state}; an administrator can admit it")
            await unit.insert(user, again=("seen_at", "name") if name else ("seen_at",))
            known = await unit.first(select(User).where(User.id == user.id))
            assert known is not None
            if known.status != "active":
                raise NotAdmitted(f"user {user.id} is {known.status}; an administrator can restore them")
            return known

    @verb
    async def alist(self, *, limit: int = LIMIT, offset: int = 0) -> Page[User]:
        """Users by id."""
        async with self._read() as unit:
            return await unit.page(select(User), limit, offset, (User.id,))

    @verb
    async def achange(self, id: str, *, role: str | None = None, suspended: bool | None = None) -> None:
        """Give another role, suspend, or restore.

        Raises:
            NotFound: there is no such user.
        """
        values: dict[str, str] = {} if role is None else {"role": role}
        if suspended is not None:
            values["status"] = "suspended" if suspended else "active"
        if not values:
            raise UserError("say what to change: role=..., suspended=True or False")
        async with self._write() as unit:
            if not await unit.change(update(User).where(User.id == id).values(**values)):
                raise NotFound("user", id)

    admit = blocking(aadmit)
    list = blocking(alist)
    change = blocking(achange)


class SettingsOf(Verbs):
    """Settings of the user, above those of the tenant."""

    @verb
    async def aset(self, key: str, value: Any, *, for_tenant: bool = False) -> None:
        """Set a JSON value for the user, or for the whole tenant."""
        owner = "" if for_tenant else self.identity.user
        async with self._write() as unit:
            await unit.insert(
                Setting(user_id=owner, key=named("setting", key), value=value), again=("value", "updated_at")
            )

    @verb
    async def aunset(self, key: str, *, for_tenant: bool = False) -> None:
        """Take a setting back; doing it twice is harmless."""
        owner = "" if for_tenant else self.identity.user
        async with self._write() as unit:
            await unit.change(delete_from(Setting).where(Setting.key == key, Setting.user_id == owner))

    @verb
    async def aget(self, key: str, default: Any = None) -> Any:
        """The user's value, else the tenant's, else the default."""
        return (await self._all(key)).get(key, default)

    @verb
    async def aall(self) -> dict[str, Any]:
        """Every setting as it holds for the user."""
        return await self._all(None)

    set = blocking(aset)
    unset = blocking(aunset)
    get = blocking(aget)
    all = blocking(aall)

    async def _all(self, key: str | None) -> dict[str, Any]:
        query = select(Setting).where(or_(Setting.user_id == "", Setting.user_id == self.identity.user))
        if key is not None:
            query = query.where(Setting.key == key)
        async with self._read() as unit:
            rows = await unit.all(query.order_by(Setting.user_id))
        return {row.key: row.value for row in rows}
