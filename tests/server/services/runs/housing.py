"""The services over real kernels, without a server: `house` makes them, `run` lets something happen in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from fleet_rlm.server.auth.identity import Identity
from fleet_rlm.server.auth.permission import ROLES
from fleet_rlm.server.services.house import House, Limits
from fleet_rlm.server.services.kernels.service import Rules

ME = Identity("local", "local", frozenset(ROLES))


@asynccontextmanager
async def house(tmp_path: Path, rules: Rules | None = None, **environ: str) -> AsyncIterator[House]:
    """All services, while the block lasts; they are asked as a handler asks them."""
    variables = {"FLEET_HOME": str(tmp_path), "FLEET_LM": "fleet/offline", **environ}
    manager = AsyncMappingKernelManager(root_dir=str(tmp_path), connection_dir=str(tmp_path))
    limits = Limits(rules=rules or Rules(), lm_calls=None, lm_tokens=None, slow_client_s=10)
    made = House(manager, limits, variables)
    try:
        yield made
    finally:
        await made.close()
        await manager.shutdown_all(now=True)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Let it happen, within a time."""

    async def bounded() -> None:
        async with asyncio.timeout(90):
            await main

    asyncio.run(bounded())
