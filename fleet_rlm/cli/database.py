"""`fleet db`: what an administrator does with the store; which one, DATABASE_URL says."""

from __future__ import annotations

import argparse

from fleet_rlm.cli.asking import OK
from fleet_rlm.core.settings import Settings


def db_command(args: argparse.Namespace) -> int:
    """`fleet db upgrade`, `fleet db check` and `fleet db catch-up`."""
    if args.work == "upgrade":
        return _upgrade(args.role)
    return _check() if args.work == "check" else _catch_up()


def _upgrade(role: str) -> int:
    from fleet_rlm.sessions.store import open_store, upgrade

    store = open_store()
    revision = upgrade(store.place.url.render_as_string(hide_password=False), runtime_role=role)
    print(f"{store.place} has schema {revision}")
    return OK


def _check() -> int:
    """Open it as a server would: reachable, of this program's schema, and on Postgres with a role that walls hold."""
    from fleet_rlm.sessions.store import open_store

    store = open_store()
    try:
        store.open()
    finally:
        store.close()
    print(f"{store.place} can be used")
    return OK


def _catch_up() -> int:
    from fleet_rlm.sessions.store import catch_up, open_store

    store = open_store()
    try:
        caught = catch_up(store.scoped(), Settings.from_environ().home)
    finally:
        store.close()
    for run, events in caught.runs.items():
        print(f"{run}: {events} events read in")
    for run, reason in caught.left.items():
        print(f"{run}: left as it is: {reason}")
    print(f"{store.place} has what the logs on disk have{', but for those' if caught.left else ''}")
    return OK
