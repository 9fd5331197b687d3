"""semantic_map: one question asked of every chunk of a document, at once, by sub-queries on the run's budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

from fleet_rlm.agent.documents.chunks import SIZE, Chunk, chunks
from fleet_rlm.agent.tools.desk import Desk, Library
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.rlm.queries import query_tools


class MapFailed(FleetError):
    """Some chunks have no reply; the message says where the others are."""


def map_tool(desk: Desk, library: Library, workspace: Workspace) -> Callable[..., Any]:
    """`semantic_map` over the session's documents."""

    async def semantic_map(
        question: str,
        document: str = "",
        strategy: Literal["size", "headers", "timestamps", "json_keys"] = "size",
        size: int = SIZE,
        max_chunks: int = 24,
        buffer: str = "",
    ) -> str:
        """Ask the same question of every chunk of a document, all at once; for "what does each part say about ...".
        Returns a JSON list of {chunk, title, reply}; the replies are also the variable `<alias>_map` in the sandbox,
        and go into `buffer` if one is named. Costs one model call per chunk."""
        found = await library.get_or_load(document)
        limit = desk.scope.query_chars
        size = size if limit is None else min(size, max(limit - len(question) - 1_000, 1))
        parts = await asyncio.to_thread(lambda: chunks(found.text, strategy, size=size))
        if len(parts) > max_chunks:
            raise UserError(
                f"{found.alias!r} makes {len(parts):,} chunks and at most {max_chunks} are asked; raise `size` or "
                "`max_chunks`, or let delegate_to_rlm find the parts that matter"
            )
        prompts = [_prompt(question, found.alias, part, number, len(parts)) for number, part in enumerate(parts, 1)]
        replies = await query_tools(desk.scope)["llm_query_batched"](prompts, return_exceptions=True)
        answered = [
            {"chunk": number, "title": part.title, "reply": reply}
            for number, (part, reply) in enumerate(zip(parts, replies, strict=True), 1)
            if isinstance(reply, str)
        ]
        name = f"{found.alias}_map"
        await desk.put(name, answered)
        if buffer and answered:
            with workspace.effects.once() as is_due:
                if is_due:
                    workspace.buffers.write(buffer, [str(one["reply"]) for one in answered])
        _raise_failures(replies, name)
        return json.dumps(answered, ensure_ascii=False)

    return semantic_map


def _prompt(question: str, alias: str, part: Chunk, number: int, total: int) -> str:
    return (
        f"{question}\n\nAnswer for this part alone, briefly, quoting what matters; if it says nothing about it, say "
        f'"nothing here". Part {number} of {total} of {alias}:\n\n{part.text}'
    )


def _raise_failures(replies: list[Any], name: str) -> None:
    failures = [reply for reply in replies if isinstance(reply, BaseException)]
    for error in failures:
        if not isinstance(error, FleetError):
            raise error
    if failures:
        reasons = "; ".join(sorted({f"{type(error).__name__}: {error}" for error in failures}))
        raise MapFailed(
            f"{len(failures)} of {len(replies)} chunks have no reply ({reasons}); the others are in `{name}`"
        )
