"""Who holds a place among the sandboxes at once: over real kernels, however they end."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from fleet_rlm.server.auth.identity import Identity
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.services.house import House, Limits
from fleet_rlm.server.services.kernels.service import Rules
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.quotas import QuotaReached
from fleet_rlm.server.services.runs.models import BranchRun, StartRun

ADA = Identity("acme", "ada", frozenset(ROLES))
OWNER = Owner.of(ADA)
WAIT_S = 120


@asynccontextmanager
async def a_house(directory: Path) -> AsyncIterator[tuple[House, AsyncMappingKernelManager]]:
    """The services of a server where each user may have one sandbox."""
    manager = AsyncMappingKernelManager(root_dir=str(directory), connection_dir=str(directory))
    limits = Limits(
        rules=Rules(), lm_calls=None, lm_tokens=None, slow_client_s=10, user_quotas={"sandboxes_at_once": 1}
    )
    made = House(manager, limits, {"FLEET_HOME": str(directory), "FLEET_LM": "fleet/offline"})
    try:
        yield made, manager
        await made.close()
    finally:
        await manager.shutdown_all(now=True)


async def asked(house: House, session: str, kernel_id: str | None = None) -> str:
    """A question, and its answer; says which run it was."""
    told = StartRun(message="how many?", session=session, mode="direct", kernel_id=kernel_id)
    run = (await house.runs.start(ADA, told)).run
    async for _ in house.reading.events(ADA, run):
        pass
    return run


async def held(house: House) -> int:
    """Places that the store has as taken."""
    return await house.store.scoped(OWNER.account()).quotas.areserved("sandboxes_at_once of ada")


def test_a_session_holds_its_place_between_turns_until_its_kernel_ends_however_that_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_house(tmp_path) as (house, manager):
            run = await asked(house, "one")
            await asked(house, "one")
            with pytest.raises(QuotaReached, match=r"have 1 sandboxes at once, .* archive a session") as refused:
                await asked(house, "two")
            assert refused.value.retry_after is None
            assert await held(house) == house.kernels.own == 1  # for who is refused no kernel was started

            one = house.kernels.find(OWNER, "one")
            assert one is not None
            await house.kernels.close_session(one)
            await asked(house, "two")
            with pytest.raises(QuotaReached):
                await house.runs.branch(ADA, run, BranchRun(span="s1"))
            assert house.kernels.own == 1

            (kernel,) = manager.list_kernel_ids()
            process = os.pidfd_open(manager.get_kernel(kernel).provisioner.pid)
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])  # until it has ended, and nothing on the loop has seen it
            os.close(process)
            await asked(house, "two")

            two = house.kernels.find(OWNER, "two")
            assert two is not None
            await manager.shutdown_kernel(two.link.kernel_id, now=True)  # as the server does that culls it
            assert not await two.link.look()
            await asked(house, "three")
            assert await held(house) == 1
        assert await held(house) == 0  # the server has stopped
        denied = (await house.store.scoped(OWNER.account()).audit.alist(outcome="denied")).items
        assert [(one.action, one.object) for one in denied] == [("run.branch", run), ("run.start", None)]
        await house.store.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_a_notebooks_kernel_holds_one_place_for_each_session_until_it_is_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_house(tmp_path) as (house, manager):
            kernel = await manager.start_kernel(env={**os.environ, "FLEET_HOME": str(tmp_path / "own")})
            await asked(house, "one", kernel)
            one = house.kernels.find(OWNER, "one")
            assert one is not None
            await house.kernels.close_session(one)
            assert kernel in manager
            await asked(house, "one", kernel)
            with pytest.raises(QuotaReached):
                await asked(house, "two", kernel)
            again = house.kernels.find(OWNER, "one")
            assert again is not None
            await manager.restart_kernel(kernel, now=True)
            assert not await again.link.look()
            await asked(house, "two", kernel)
        await house.store.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_what_needs_no_sandbox_and_what_fails_holds_no_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_house(tmp_path) as (house, _):
            await house.runs.command(ADA, "one", "list_documents", {})
            assert await held(house) == 0
            with pytest.raises(Exception, match="no kernel"):
                await asked(house, "two", "none")
            await house.quotas.close()
            assert await held(house) == 0
            await asked(house, "one")
            assert await held(house) == 1
        await house.store.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))
