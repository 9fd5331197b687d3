"""What a client may do with a session between questions, without asking a model: the tools that need none.

They are the agent's own (`agent.tools`), with the same names and arguments, so whoever drives a session and the model
that answers in it speak of the same things.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from fleet_rlm.agent.documents.load import Loader
from fleet_rlm.agent.tools.notes import buffer_tools, core_memory_tools, memory_file_tools
from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.session import Session


async def commanded(session: Session, command: str, args: dict[str, Any]) -> Any:
    """Carry out one command.

    Raises:
        UserError: there is no such command, or it takes other arguments.
        FleetError: it cannot be done.
    """
    known = {one.__name__: one for one in _commands(session)}
    if command not in known:
        near = difflib.get_close_matches(command, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"there is no command {command[:80]!r}; {hint}")
    try:
        inspect.signature(known[command]).bind(**args)
    except TypeError as error:
        raise UserError(f"{command}: {error}") from None
    for name, value in args.items():
        if not isinstance(value, str):
            raise UserError(f"{command}: {name} must be a text")
    return await known[command](**args)


def _commands(session: Session) -> list[Callable[..., Any]]:
    workspace = session.workspace
    return [
        *_document_commands(session),
        *buffer_tools(session.buffers, session.workspace.effects),
        *core_memory_tools(session.memory, session.workspace.effects),
        *(memory_file_tools(workspace.files) if workspace.files else []),
    ]


def _document_commands(session: Session) -> list[Callable[..., Any]]:
    documents, workspace = session.documents, session.workspace
    loader = Loader(documents, workspace.roots, workspace.fetcher, taken=session.values)

    async def load_document(path: str, alias: str = "") -> dict[str, Any]:
        return (await loader.load(path, alias)).told()

    async def load_repository(repo_url: str, repo_ref: str = "", alias: str = "") -> dict[str, Any]:
        return (await loader.load_repository(repo_url, repo_ref, alias)).told()

    async def list_documents() -> list[dict[str, Any]]:
        return [{**one.told(), "active": one is documents.active} for one in documents]

    async def set_active_document(alias: str) -> dict[str, Any]:
        return documents.set_active(alias).told()

    async def read_core_memory() -> dict[str, str]:
        return dict(session.memory.sections)

    return [load_document, load_repository, list_documents, set_active_document, read_core_memory]
