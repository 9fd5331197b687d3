"""The models of the benches, which cost next to nothing: an engine inside the process, and scripts for the server.

Both answer the prompts of fleet-rlm and dspy with the next cell of a list; the server's answer rlms' prompts, too.
`server` runs it in a process of its own, so that its work is not taken for a client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage, response_to_events

from tests.twins.lm_server import Script
from tests.twins.replies import Reply
from tests.twins.scripts import Prompt, rlm_action

ITERATIONS = 10
QUERIES = 1_000
QUERY_S = 0.05

LOOK = "length_{turn} = len(context)\nprint(length_{turn})"
ASK = f"replies = llm_query_batched([f'question {{i}}' for i in range({QUERIES})])\nprint(len(replies))"


class Engine:
    """dspy's engine contract: the k-th prompt of an RLM gets the k-th cell, any other prompt a word after `delay`."""

    def __init__(self, cells: list[str], delay: float = 0.0) -> None:
        self._replies = [str(rlm_action("-", cell)) for cell in cells]
        self._delay = delay
        self.asked: list[float] = []  # when each prompt of the RLM came

    def complete(self, request: Request) -> Response:
        if request.system is None:
            time.sleep(self._delay)
            return _response("ok")
        return self._next()

    def _next(self) -> Response:
        self.asked.append(time.perf_counter())
        return _response(self._replies[len(self.asked) - 1])

    def stream(self, request: Request) -> Iterator[Any]:
        yield from response_to_events(self.complete(request))

    def close(self) -> None:
        """Nothing is held open."""

    def lm(self) -> dspy.LM:
        """A dspy.LM on this engine."""
        return dspy.LM("scripted/engine", engine=self, async_engine=_Async(self), cache=False)


class _Async:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        if request.system is None:
            await asyncio.sleep(self._engine._delay)
            return _response("ok")
        return self._engine._next()

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        for event in response_to_events(await self.complete(request)):
            yield event

    async def aclose(self) -> None:
        """Nothing is held open."""


def _response(text: str) -> Response:
    message = Message.assistant([TextPart(text)])
    return Response(id=None, model="engine", message=message, finish_reason="stop", usage=Usage())


def looks(iterations: int) -> list[str]:
    """Cells that each read the context, then submit."""
    return [*(LOOK.format(turn=turn) for turn in range(iterations - 1)), "SUBMIT(answer='done')"]


def looking() -> Script:
    """`ITERATIONS` cells that each read the context."""
    return _turns(looks(ITERATIONS))


def asking() -> Script:
    """One cell that asks `QUERIES` questions of `QUERY_S` each, then submit."""
    return _turns([ASK, "SUBMIT(answer='done')"])


def submitting() -> Script:
    """Nothing but the end."""
    return _turns([LOOK.format(turn=0), "SUBMIT(answer='done')"])


def _turns(cells: list[str]) -> Script:
    ours: list[str | Reply] = [rlm_action("-", cell) for cell in cells]
    theirs: list[str | Reply] = [f"```repl\n{cell}\n```" for cell in cells[:-1]]
    theirs.append('```repl\nanswer["content"] = "done"\nanswer["ready"] = True\n```')
    slow = Reply("ok", delay=QUERY_S)

    def script(request: dict[str, Any], _call_index: int) -> str | Reply:
        messages = request["messages"]
        if messages[0]["role"] != "system":
            return slow
        prompt = Prompt(request)
        if "iteration" in prompt.inputs:
            return ours[int(prompt.inputs["iteration"].partition("/")[0]) - 1]
        turn = [message["role"] for message in messages].count("assistant")
        return theirs[turn]

    return script


@contextlib.contextmanager
def server(script: str) -> Iterator[str]:
    """The address of a server that runs a script of this file in its own process."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.twins.lm_server", "--make", "--script", f"{__name__}:{script}"]
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(20)


def client(address: str) -> dspy.LM:
    """The client that fleet-rlm itself makes for MODEL@ADDRESS, for the peers that run on dspy."""
    return dspy.LM("openai/m", api_base=address, api_key="none", engine="lm15", cache=False)
