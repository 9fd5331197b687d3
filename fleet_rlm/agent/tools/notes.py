"""Tools for what the agent keeps: buffers, memory files, core memory. Each exists where its place does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fleet_rlm.agent.buffers import Buffers
from fleet_rlm.agent.effects import Effects
from fleet_rlm.agent.memory import CoreMemory
from fleet_rlm.agent.workspace import VolumeFiles


def buffer_tools(buffers: Buffers, effects: Effects) -> list[Callable[..., Any]]:
    """The tools over the session's buffers."""

    async def list_buffers() -> str:
        """List the buffers and how many texts each holds."""
        return (
            "\n".join(f"{name}: {number} texts" for name, number in buffers.names().items()) or "there are no buffers"
        )

    async def read_buffer(name: str) -> str:
        """Read the texts of a buffer."""
        return "\n\n".join(f"[{number}] {text}" for number, text in enumerate(buffers.read(name), 1))

    async def write_buffer(name: str, text: str, mode: Literal["append", "replace"] = "append") -> str:
        """Add a text to a buffer, or replace what it holds. Buffers are kept with the session; use them to collect
        findings."""
        with effects.once() as is_due:
            if is_due:
                buffers.write(name, [text], replace=mode == "replace")
        return f"buffer {name!r} holds {buffers.names().get(name, 0)} texts"

    async def clear_buffer(name: str) -> str:
        """Remove a buffer with all it holds."""
        with effects.once() as is_due:
            if is_due:
                buffers.clear(name)
        return f"buffer {name!r} is removed"

    return [list_buffers, read_buffer, write_buffer, clear_buffer]


def memory_file_tools(files: VolumeFiles) -> list[Callable[..., Any]]:
    """The tools over the memory folder of the session's volume."""

    async def memory_list(folder: str = "") -> str:
        """List the memory files, which outlive this conversation."""
        return "\n".join(await files.alist(folder)) or "there are no memory files"

    async def memory_read(path: str) -> str:
        """Read a memory file."""
        return await files.aread(path)

    async def memory_write(path: str, text: str) -> str:
        """Write a memory file whole, such as `projects/billing.md`: what is worth knowing in later conversations."""
        await files.awrite(path, text)
        return f"{path} is written ({len(text):,} characters)"

    return [memory_list, memory_read, memory_write]


def core_memory_tools(memory: CoreMemory, effects: Effects) -> list[Callable[..., Any]]:
    """The tool over the core memory."""

    async def edit_core_memory(section: str, content: str, mode: Literal["append", "replace"] = "append") -> str:
        """Change a section of the memory that stands in every prompt (persona, human, scratchpad): add a line, or
        replace the section by a shorter text."""
        with effects.once() as is_due:
            if is_due:
                memory.edit(section, content, mode)
        return f"{section} is now:\n{memory.sections[section]}"

    return [edit_core_memory]
