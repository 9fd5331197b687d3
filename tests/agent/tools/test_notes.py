"""Tools for what is kept: buffers, memory files and core memory change the session itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_rlm.agent.buffers import BufferError
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.loop import run_sync
from tests.agent.tools.desks import tools_of, workspace_in
from tests.agent.tools.memory_files import MemoryFiles


def test_buffers_are_written_read_listed_and_cleared(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path)

    async def ask() -> list[str]:
        async with tools_of(workspace) as tools:
            for text in ("one", "two"):
                await tools("write_buffer", name="found", text=text)
            told = [await tools("read_buffer", name="found"), await tools("list_buffers")]
            await tools("write_buffer", name="found", text="three", mode="replace")
            await tools("write_buffer", name="other", text="x")
            await tools("clear_buffer", name="other")
            with pytest.raises(BufferError):
                await tools("read_buffer", name="other")
            return told

    assert run_sync(ask()) == ["[1] one\n\n[2] two", "found: 2 texts"]
    assert workspace.buffers.state() == {"found": ["three"]}


def test_memory_files_are_the_volume_s(tmp_path: Path) -> None:
    files = MemoryFiles()

    async def ask() -> list[str]:
        async with tools_of(workspace_in(tmp_path, files=files)) as tools:
            none = await tools("memory_list")
            await tools("memory_write", path="people/ada.md", text="likes herons")
            with pytest.raises(FleetError, match="no memory file"):
                await tools("memory_read", path="gone.md")
            return [none, await tools("memory_list"), await tools("memory_read", path="people/ada.md")]

    assert run_sync(ask()) == ["there are no memory files", "people/ada.md", "likes herons"]
    assert files.texts == {"people/ada.md": "likes herons"}


def test_core_memory_is_edited_as_the_agent_and_its_limits_hold(tmp_path: Path) -> None:
    memory = CoreMemory()

    async def ask() -> str:
        async with tools_of(workspace_in(tmp_path, memory=memory)) as tools:
            await tools("edit_core_memory", section="human", content="is called Ada")
            with pytest.raises(FleetError, match="at most"):
                await tools("edit_core_memory", section="human", content="x" * 10_000)
            with pytest.raises(FleetError, match="no section"):
                await tools("edit_core_memory", section="mood", content="x")
            return await tools("edit_core_memory", section="human", content="likes herons")

    assert run_sync(ask()) == "human is now:\nis called Ada\nlikes herons"
    assert [edit.who for edit in memory.edits] == ["agent", "agent"]
