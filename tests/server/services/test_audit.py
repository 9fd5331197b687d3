"""The audit beside requests: in order, complete, and in the log where the store cannot be written."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from fleet_rlm.server import metrics
from fleet_rlm.server.services.audit import NOBODY, Audit
from fleet_rlm.server.services.folding import FEW
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.sessions.store import open_store

ADA = Owner("acme", "ada")


def test_entries_are_stored_in_order_before_the_server_ends(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/fleet.db")

    async def main() -> None:
        audit = Audit(lambda: store)
        for number in range(50):
            audit.record(ADA, "run.start", f"r{number}", code=str(number))
        audit.sign_in("sign_in", {"tid": ADA.tenant, "oid": ADA.user, "ip": "127.0.0.1", "path": "/login"})
        await audit.close()

    asyncio.run(main())
    trail = store.scoped(ADA.account()).audit
    entries = trail.list(limit=100).items[::-1]
    assert [one.object for one in entries[:50]] == [f"r{number}" for number in range(50)]
    assert (entries[50].action, entries[50].outcome, entries[50].detail) == ("sign_in", "ok", {"ip": "127.0.0.1"})
    assert trail.verify() is None
    store.close()


def test_an_entry_that_cannot_be_stored_is_logged_whole_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    away = open_store("postgresql://fleet_app@127.0.0.1:9/fleet")
    before = metrics.AUDIT_FAILURES._value.get()

    async def main() -> None:
        audit = Audit(lambda: away)
        audit.record(ADA, "run.start", "r1")
        await audit.close()

    with caplog.at_level(logging.ERROR, "fleet_rlm"):
        asyncio.run(main())
    assert metrics.AUDIT_FAILURES._value.get() == before + 1
    assert "run.start" in caplog.text
    assert "'r1'" in caplog.text
    away.close()


def test_strangers_cannot_fill_the_audit(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/fleet.db")

    async def main() -> None:
        audit = Audit(lambda: store)
        for _ in range(500):
            audit.sign_in("refused", {"ip": "127.0.0.1", "code": "invalid_token"})
        await audit.close()

    asyncio.run(main())
    entries = store.scoped(NOBODY.account()).audit.list().items
    assert len(entries) == FEW + 1
    assert entries[0].detail == {"ip": "127.0.0.1", "code": "invalid_token", "times": 500 - FEW}
    store.close()
