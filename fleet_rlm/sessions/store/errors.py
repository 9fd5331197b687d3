"""What may go wrong with the store, named by whose fault it is, and the table that translates a driver's errors.

Above the store nobody sees an exception of SQLAlchemy, sqlite3 or psycopg: `translated` turns each into one of these,
with the cause kept.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import sqlalchemy.exc

from fleet_rlm.core.errors import FleetError, UserError


class StoreError(FleetError):
    """The store cannot do what was asked."""


class NotFound(UserError, StoreError):
    """There is no such thing, or it belongs to somebody else: the two are told alike on purpose."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r} here; list what there is, or create it")
        self.kind = kind
        self.name = name


class NameTaken(UserError, StoreError):
    """Another one of this name exists; take another name, or delete or rename that one."""


class LeaseLost(StoreError):
    """Another writer holds this run; this one must write no more. What it has is in the run's own log on disk."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or written now (down, full disk, read-only); trying again later may work."""


class StoreDamaged(StoreError):
    """The database file is not readable as one. It is left as it is; the message says how to go on."""


class StoreTooNew(StoreError):
    """The database was written by a later fleet-rlm; this one refuses to touch it."""


class StoreOutdated(StoreError):
    """The Postgres schema is older than this fleet-rlm; an administrator has to upgrade it."""


class NotAdmitted(StoreError):
    """The tenant is not known here, or it or the user is suspended; an administrator can admit them."""


class QuotaExceeded(StoreError):
    """A reservation would pass the quota of its period; nothing was reserved."""

    def __init__(self, metric: str, period: str, amount: int, used: int, limit: int) -> None:
        super().__init__(
            f"{metric}: {amount:,} more would pass the quota of {period} ({used:,} of {limit:,} are used); wait for "
            "the next period, or have the quota raised"
        )
        self.metric, self.period, self.used, self.limit = metric, period, used, limit


class UnsafeRole(StoreError):
    """The database role could see every tenant; the message says why, and what to connect as instead."""


class Unscoped(StoreError):
    """A statement would have reached a tenant's table without saying whose rows it means. A fault of the program."""


UNAVAILABLE = "{place} cannot be used now: {fault}; the logs of runs are still kept on disk"

DAMAGED = ("file is not a database", "malformed", "database corruption")


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn a driver's errors into the store's; `place` names the database for people.

    Raises:
        StoreDamaged, StoreUnavailable: as above.
        UserError: a value cannot be stored.
    """
    try:
        yield
    except (sqlalchemy.exc.StatementError, sqlite3.Error) as error:
        told = _told(error, place)
        if told is None:
            raise
        raise told from error
    except (sqlalchemy.exc.TimeoutError, OSError) as error:
        raise StoreUnavailable(UNAVAILABLE.format(place=place, fault=error)) from error


def _told(error: Exception, place: str) -> FleetError | None:
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, UserError):  # a value that a column type refused
        return cause
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if any(sign in text for sign in DAMAGED):
        return StoreDamaged(
            f"{place} is damaged ({text}) and is left untouched; move it aside, and 'fleet db catch-up' makes a new "
            "one and reads the runs on disk into it"
        )
    if isinstance(error, sqlalchemy.exc.DataError):
        return UserError(f"a value does not fit the store: {text}; ids have 64 characters at most")
    lost = bool(getattr(error, "connection_invalidated", False))
    names = {one.__name__ for one in type(cause).__mro__}
    if lost or names & {"OperationalError", "InterfaceError"}:
        return StoreUnavailable(UNAVAILABLE.format(place=place, fault=text))
    return None
