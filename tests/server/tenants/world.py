"""Three people at one server: Ada, whose things are at stake, Carl of her tenant, and Bob of another.

A real Jupyter server that trusts a loopback issuer, keeps its rows in Postgres as a role that row-level security binds,
and runs sessions in real kernels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from websockets.sync.client import ClientConnection

from fleet_rlm.sessions.store import Identity, Scope, Store, open_store
from fleet_rlm.sessions.store.tables import Audit, Base
from tests.server.serving import Serving
from tests.twins.entra_issuer import EntraIssuer, new_guid
from tests.twins.postgres import Database

WORD = "ocelot7481"
"""In all that is Ada's, and in nothing else."""


class Deployed(Serving):
    """A server behind Entra; its own client has the role that opens the server itself."""

    def __init__(self, directory: Path, settings: dict[str, str], token: str, **environ: str) -> None:
        super().__init__(directory, settings, **environ)
        del self._settings["IdentityProvider.token"]
        self.client.headers["Authorization"] = f"Bearer {token}"


@dataclass
class Person:
    """Somebody with a token."""

    tenant: str
    user: str
    token: str
    server: Deployed

    @property
    def account(self) -> Identity:
        """Who the store knows them as."""
        return Identity(self.tenant, self.user)

    @property
    def home(self) -> Path:
        """Where what is theirs lies on the server's disk."""
        return self.server.home / "users" / hashlib.sha256(f"{self.tenant}\0{self.user}".encode()).hexdigest()[:32]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An HTTP request with their token."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.server.client.request(method, self.server.origin + path, headers=headers, **options)

    def api(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        """What a request below the API answers; the status is checked."""
        answer = self.request(method, f"/fleet/api/v1/{path}", **options)
        assert answer.status_code == expected, f"{answer.status_code}: {answer.text}\n{self.server.log()[-3000:]}"
        return answer.json() if answer.content else None

    def socket(self, path: str) -> ClientConnection:
        """A WebSocket opened with their token."""
        return self.server.connected(path, Authorization=f"Bearer {self.token}")

    def finished(self, run: str) -> dict[str, Any]:
        """A run of theirs once it is over and written."""
        with self.socket(f"ws/execution/events?run={run}") as connection:
            while json.loads(connection.recv(60))["type"] != "ended":
                pass
        told: dict[str, Any] = self.api("GET", f"runs/{run}")
        return told


@dataclass
class World:
    """The server, its database, and how people come to it."""

    server: Deployed
    database: Database
    issuer: EntraIssuer
    audience: str
    kid: str
    tenants: list[str]
    store: Store
    ids: dict[str, str] = field(default_factory=dict)

    def person(self, tenant: int, *roles: str) -> Person:
        """A new user of one of the tenants."""
        tid, oid = self.tenants[tenant], new_guid()
        token = self.issuer.token(tid, self.audience, self.kid, oid=oid, roles=list(roles or ("Fleet.Run",)))
        return Person(tid, oid, token, self.server)

    def scope(self, person: Person) -> Scope:
        """The store as that person sees it."""
        return self.store.scoped(person.account)

    def rows_of(self, person: Person, *ids: str) -> dict[str, list[str]]:
        """Every row of a person in the database, and those that name one of these ids, read past all walls.

        The audit is left out: it is the tenant's, and grows by whoever asks.
        """
        found: dict[str, list[str]] = {}
        with psycopg.connect(self.database.admin) as admin:
            for name, table in Base.metadata.tables.items():
                if name == Audit.__tablename__:
                    continue
                owned = "user_id = %s or" if "user_id" in table.columns else "%s = '' or"
                query = f"select t::text from {name} t where {owned} t::text ~ %s order by 1"
                rows = admin.execute(query, (person.user, "|".join(ids)))  # type: ignore[call-overload]
                found[name] = [row[0] for row in rows.fetchall()]
        return found


@contextmanager
def world(directory: Path, database: Database, options: dict[str, str], **environ: str) -> Iterator[World]:
    """The server with three tenants, until the block ends."""
    with EntraIssuer() as issuer:
        audience, kid, tenants = new_guid(), issuer.add_key(), [new_guid() for _ in range(3)]
        owner = issuer.token(tenants[0], audience, kid, roles=["Fleet.Admin", "Jupyter.Use"])
        settings = {
            "AUTH_MODE": "entra",
            "ENTRA_CLIENT_ID": audience,
            "ENTRA_TENANTS": ",".join(tenants),
            "ENTRA_AUTHORITY": issuer.base,
            "DATABASE_URL": database.app,
            **environ,
        }
        store = open_store(database.app)
        try:
            with Deployed(directory, options, owner, **settings) as server:
                yield World(server, database, issuer, audience, kid, tenants, store)
        finally:
            store.close()
