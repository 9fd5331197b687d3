"""What a run uses is charged as it goes, over a real kernel; whatever ends it, its place is free again."""

from __future__ import annotations

import asyncio
import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from fleet_rlm.server.auth.identity import Identity
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.services.allowances import AT_ONCE
from fleet_rlm.server.services.house import House, Limits
from fleet_rlm.server.services.kernels.service import Rules
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import QuotaReached
from fleet_rlm.server.services.runs.models import StartRun
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply, usage
from tests.twins.scripts import Prompt, rlm_action

WAIT_S = 60
ADA = Identity("acme", "ada", frozenset(ROLES))
QUOTAS = {"runs_at_once": 1, "runs_per_day": 9, "sandboxes_per_day": 9, "tokens_per_day": 1_000_000}


async def started_in(made: House, run: str) -> int:
    """Sandboxes that a run started, and did not have from an earlier turn, once it is over."""
    lines = [line async for batch in made.reading.events(ADA, run) for line in batch.lines]
    return sum(b'"kind":"span.end"' in line and b'"kept":false' in line for line in lines)


def test_a_run_is_settled_when_it_ends_and_when_its_kernel_dies(tmp_path: Path) -> None:
    async def main() -> None:
        manager = AsyncMappingKernelManager(root_dir=str(tmp_path))
        limits = Limits(rules=Rules(), lm_calls=None, lm_tokens=None, slow_client_s=10, user_quotas=QUOTAS)
        made = House(manager, limits, {"FLEET_HOME": str(tmp_path), "FLEET_LM": "fleet/offline"})
        told: list[tuple[str, Any]] = []
        made.door.tell = lambda name, facts: told.append((name, facts))
        try:
            asked = StartRun(message="how many errors?", session="s", mode="rlm_only")
            first = await made.runs.start(ADA, asked)
            with pytest.raises(QuotaReached, match="wait until one ends"):
                await made.runs.start(ADA, StartRun(message="and?", session="other"))
            sandboxes = await started_in(made, first.run)
            again = await made.runs.start(ADA, asked)
            assert await started_in(made, again.run) == 0
            second = await made.runs.start(ADA, asked)
            for kernel in list(manager.list_kernel_ids()):
                await manager.shutdown_kernel(kernel, now=True)
            sandboxes += await started_in(made, second.run)
            third = await made.runs.start(ADA, asked)
            sandboxes += await started_in(made, third.run)
            assert sandboxes >= 2
        finally:
            await made.close()
            await manager.shutdown_all(now=True)
        today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        quotas = made.store.scoped(Owner.of(ADA).account()).quotas
        used = {name: (await quotas.aget(f"{name} of ada", period=today)).used for name in QUOTAS}
        ended = [facts["run"] for name, facts in told if name == "run_ended"]
        for name in QUOTAS:
            period = None if name == AT_ONCE else today
            assert await quotas.areserved(f"{name} of ada", period=period) == 0
        assert ended == [first.run, again.run, second.run, third.run]
        assert used == {"runs_at_once": 0, "runs_per_day": 4, "sandboxes_per_day": sandboxes, "tokens_per_day": 0}
        await made.store.aclose()

    asyncio.run(asyncio.wait_for(main(), 120))


def test_a_run_in_a_notebooks_kernel_is_charged_as_it_goes_and_budget_stopped(tmp_path: Path) -> None:
    """Its model is not reached through the gateway, so its events tell what it spends."""
    gate = Gate()

    def script(request: dict[str, Any], number: int) -> Reply:
        if Prompt(request).role != "rlm_action":
            return Reply("plain", usage=usage(90, 10))
        return Reply(str(rlm_action("-", f"print({number})")), usage=usage(90, 10), gate=gate if number == 2 else None)

    async def main(server: LMServer) -> None:
        manager = AsyncMappingKernelManager(root_dir=str(tmp_path), connection_dir=str(tmp_path))
        limits = Limits(
            rules=Rules(), lm_calls=None, lm_tokens=None, slow_client_s=10, user_quotas={"tokens_per_day": 150}
        )
        made = House(manager, limits, {"FLEET_HOME": str(tmp_path), "FLEET_LM": "fleet/offline"})
        quotas = made.store.scoped(Owner.of(ADA).account()).quotas
        today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        environ = {**os.environ, "FLEET_HOME": str(tmp_path), "FLEET_LM": f"m@{server.base_url}"}
        kernel: str = await manager.start_kernel(env=environ)
        try:
            asked = StartRun(message="how many?", session="s", mode="rlm_only", kernel_id=kernel, budget=50)
            run = (await made.runs.start(ADA, asked)).run
            while (await quotas.aget("tokens_per_day of ada", period=today)).used < 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            gate.open()
            async for _ in made.reading.events(ADA, run):
                pass
            told = await made.reading.get(ADA, run)
            assert told.status == "exhausted"
            assert told.error is not None
            assert told.error.startswith("budget: you may use 150 tokens a day, and that is used up; it renews at")
            assert server.calls == told.usage.llm_calls < 10
            with pytest.raises(QuotaReached, match="150 tokens a day"):
                await made.runs.start(ADA, asked)
        finally:
            await made.close()
            await manager.shutdown_all(now=True)
        assert (await quotas.aget("tokens_per_day of ada", period=today)).used == 100 * told.usage.llm_calls
        await made.store.aclose()

    with LMServer(script) as server:
        asyncio.run(asyncio.wait_for(main(server), WAIT_S))
