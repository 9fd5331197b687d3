"""The durable, queryable record: sessions, turns, runs with their events and spans, and what belongs to them.

Knows core only: no agent, no notebook, no server. Importing it loads SQLAlchemy, so whoever opens a store imports it
inside the function that does.

    store = open_store(None)                      # SQLite at FLEET_HOME/fleet.db; a URL means Postgres
    mine = store.scoped(Identity("acme", "ada"))  # everything is used through a scope
    mine.sessions.create("incident")              # blocking; `await mine.sessions.acreate(...)` from any loop
"""

from fleet_rlm.sessions.store.catching_up import Caught, acatch_up, catch_up
from fleet_rlm.sessions.store.errors import (
    LeaseLost,
    NameTaken,
    NotAdmitted,
    NotFound,
    QuotaExceeded,
    StoreDamaged,
    StoreError,
    StoreOutdated,
    StoreTooNew,
    StoreUnavailable,
    UnsafeRole,
    Unscoped,
)
from fleet_rlm.sessions.store.identity import LOCAL, Identity
from fleet_rlm.sessions.store.page import Page
from fleet_rlm.sessions.store.schema import upgrade
from fleet_rlm.sessions.store.store import Scope, Store, open_store
from fleet_rlm.sessions.store.verbs.quotas import Claim
from fleet_rlm.sessions.store.verbs.runs import Lease
from fleet_rlm.sessions.store.writer import EventWriter

__all__ = [
    "LOCAL",
    "Caught",
    "Claim",
    "EventWriter",
    "Identity",
    "Lease",
    "LeaseLost",
    "NameTaken",
    "NotAdmitted",
    "NotFound",
    "Page",
    "QuotaExceeded",
    "Scope",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreOutdated",
    "StoreTooNew",
    "StoreUnavailable",
    "UnsafeRole",
    "Unscoped",
    "acatch_up",
    "catch_up",
    "open_store",
    "upgrade",
]
