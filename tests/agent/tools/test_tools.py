"""Which tools there are: those that can work, and without a session exactly those of a bare run."""

from __future__ import annotations

import inspect
from pathlib import Path

import dspy

from fleet_rlm.agent.approval import EFFECTS
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.tools import agent_tools
from fleet_rlm.core.loop import run_sync
from tests.agent.tools.desks import tools_of, workspace_in
from tests.agent.tools.memory_files import MemoryFiles

DOCUMENTS = {"load_document", "load_repository", "list_documents", "set_active_document", "chunk_document"}
FILES = {"list_files", "find_files", "read_file_slice"}
BUFFERS = {"list_buffers", "read_buffer", "write_buffer", "clear_buffer"}
MEMORY = {"memory_list", "memory_read", "memory_write"}
ANALYSTS = {
    *("analyse_document", "summarise_document", "extract_from_logs", "grounded_answer", "triage_incident"),
    *("plan_change", "clarify", "semantic_map"),
}
DELEGATES = {"delegate_to_rlm", "delegate_to_rlm_batched"}


def names(root: Path, *, may_delegate: bool = True, **parts: object) -> set[str]:
    async def made() -> set[str]:
        async with tools_of(workspace_in(root, **parts), may_delegate=may_delegate) as tools:
            return set(tools.by_name)

    return run_sync(made())


def test_a_session_with_everything_has_every_tool(tmp_path: Path) -> None:
    everything = names(tmp_path, memory=CoreMemory(), files=MemoryFiles())
    wanted = DOCUMENTS | FILES | BUFFERS | MEMORY | ANALYSTS | DELEGATES | {"execute_code", "edit_core_memory"}
    assert everything == wanted
    assert everything == set(EFFECTS)  # or a person would be asked about it as about a stranger's


def test_what_is_not_there_brings_no_tools(tmp_path: Path) -> None:
    least = names(tmp_path, roots=None, may_delegate=False)
    assert least == DOCUMENTS | BUFFERS | {"execute_code"}


def test_a_run_without_a_session_has_the_tools_it_always_had(tmp_path: Path) -> None:
    async def made() -> list[tuple[list[str], list[str]]]:
        async with tools_of(workspace_in(tmp_path)) as tools:
            pairs = []
            for may_delegate in (True, False):
                bare = agent_tools(tools.scope, tools.sandbox, ["context"], may_delegate=may_delegate)
                pairs.append(([tool.__name__ for tool in bare], list(inspect.signature(bare[0]).parameters)))
            return pairs

    assert run_sync(made()) == [
        (["delegate_to_rlm", "execute_code"], ["query", "context"]),
        (["execute_code"], ["code"]),
    ]


def test_every_tool_tells_the_model_what_it_is_in_few_words(tmp_path: Path) -> None:
    async def told() -> dict[str, str]:
        async with tools_of(workspace_in(tmp_path, memory=CoreMemory(), files=MemoryFiles())) as tools:
            return {name: inspect.getdoc(tool) or "" for name, tool in tools.by_name.items()}

    for name, text in run_sync(told()).items():
        assert 15 < len(text) < 500, name


def test_tools_can_be_described_to_a_model_by_dspy(tmp_path: Path) -> None:
    async def schemas() -> dict[str, set[str]]:
        async with tools_of(workspace_in(tmp_path)) as tools:
            return {name: set(dspy.Tool(tool).args or {}) for name, tool in tools.by_name.items()}

    assert run_sync(schemas())["delegate_to_rlm"] == {"query", "context", "document"}
