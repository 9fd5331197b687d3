"""A desk for tests of tools: a real sandbox, a real scope, and a model server where one is asked."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.roots import Roots
from fleet_rlm.agent.tools import agent_tools
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.budget import Budget
from fleet_rlm.core.log import RunLog
from fleet_rlm.lm.resolve import resolve
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox
from fleet_rlm.sandbox.registry import sandbox_named
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate


@dataclass
class Tools:
    """The tools by name, called as the agent calls them, and what they share."""

    by_name: dict[str, Any]
    workspace: Workspace
    scope: Scope
    sandbox: Sandbox

    async def __call__(self, name: str, /, **arguments: Any) -> str:
        with self.scope.log.span("tool", name):
            return str(await self.by_name[name](**arguments))


def open_when(server: LMServer, calls: int, gate: Gate) -> None:
    """Let replies pass once so many requests wait for theirs: they never do unless they are asked at once."""

    def wait() -> None:
        server.wait_for(calls)
        gate.open()

    threading.Thread(target=wait, daemon=True).start()


def workspace_in(root: Path, **parts: Any) -> Workspace:
    """A workspace that may read one directory."""
    return Workspace(**{"roots": Roots(root), "fetcher": Fetcher(), **parts})


@asynccontextmanager
async def tools_of(
    workspace: Workspace,
    *,
    lm: str = "fleet/offline",
    budget: Budget | None = None,
    values: dict[str, Any] | None = None,
    may_delegate: bool = True,
) -> AsyncIterator[Tools]:
    """The tools of a run over `values`, its documents put into the sandbox as a run does at its start."""
    model = resolve(lm).lm
    scope = Scope.create(RunLog("test"), budget or Budget(), model, model)
    data = {**workspace.values(), **(values or {})}
    sandbox = sandbox_named("local", data.values())
    try:
        await sandbox.astart()
        for name, value in data.items():
            await sandbox.aput(name, value)
        with scope.active():
            made = agent_tools(scope, sandbox, list(data), may_delegate=may_delegate, workspace=workspace)
            yield Tools({tool.__name__: tool for tool in made}, workspace, scope, sandbox)
    finally:
        await sandbox.aclose()
