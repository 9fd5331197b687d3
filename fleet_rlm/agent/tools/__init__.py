"""What the agent can do: one file per family of tools, each bound to a run's scope, sandbox and session.

The docstrings are prompts. A tool returns text the agent reads and raises what it cannot do; it exists only where it
can work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleet_rlm.agent.tools.analysts import analyst_tools
from fleet_rlm.agent.tools.desk import Desk, Library
from fleet_rlm.agent.tools.documents import document_tools
from fleet_rlm.agent.tools.files import file_tools
from fleet_rlm.agent.tools.mapping import map_tool
from fleet_rlm.agent.tools.notes import buffer_tools, core_memory_tools, memory_file_tools
from fleet_rlm.agent.tools.working import code_tool, delegate_tool, session_delegate_tools
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.base import Sandbox

__all__ = ["agent_tools"]


def agent_tools(
    scope: Scope, sandbox: Sandbox, names: list[str], *, may_delegate: bool, workspace: Workspace | None = None
) -> list[Callable[..., Any]]:
    """The tools of one run.

    Args:
        names: the variables its sandbox holds, the session's documents among them.
        may_delegate: whether it may ask models by tools (delegates and analysts) or works with plain code.
        workspace: what the session lets it use; without it there are the tools over the run's own data only.
    """
    desk = Desk(scope, sandbox, names, workspace)
    if workspace is None:
        return [delegate_tool(desk), code_tool(desk)] if may_delegate else [code_tool(desk)]
    library = Library(desk, workspace)
    return [
        *(session_delegate_tools(desk, library) if may_delegate else []),
        code_tool(desk),
        *document_tools(desk, library),
        *(file_tools(library, workspace.roots) if workspace.roots else []),
        *buffer_tools(workspace.buffers, workspace.effects),
        *(memory_file_tools(workspace.files) if workspace.files else []),
        *(core_memory_tools(workspace.memory, workspace.effects) if workspace.memory else []),
        *([*analyst_tools(desk, library), map_tool(desk, library, workspace)] if may_delegate else []),
    ]
