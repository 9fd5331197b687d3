"""B1, B10, B16: what is sent is sent once, and the trace holds what was sent and not the data."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.dummies import DummyLM

import fleet_rlm as fleet
from fleet_rlm.sandbox.local import LocalSandbox
from tests.faults.model import submitted

BYTES = 900_000  # below the size from which values leave the socket for a memory file


class CountingSocket:
    """A socket that counts what is sent through it."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.sent = 0

    def send(self, *args: Any) -> int:
        sent = self._inner.send(*args)
        self.sent += sent
        return sent

    def sendmsg(self, *args: Any) -> int:
        sent = self._inner.sendmsg(*args)
        self.sent += sent
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CountedSandbox(LocalSandbox):
    """A local sandbox whose bytes to the guest are counted from its start on."""

    opened: list[CountingSocket]

    async def astart(self) -> None:
        await super().astart()
        assert self._link is not None
        channel = self._link._channel
        if not isinstance(channel._socket, CountingSocket):
            channel._socket = CountingSocket(channel._socket)  # type: ignore[assignment]
            self.opened.append(channel._socket)  # type: ignore[arg-type]


def test_plain_dspy_rlm_sends_its_context_to_the_sandbox_once() -> None:
    CountedSandbox.opened = []
    cells = [*(f"n = len(context) + {turn}\nprint(n)" for turn in range(6)), "SUBMIT(answer=str(len(context)))"]
    lm = DummyLM([{"reasoning": "-", "code": cell} for cell in cells])
    rlm = dspy.RLM("context, query -> answer", interpreter_factory=CountedSandbox)
    with dspy.context(lm=lm):
        answer = rlm(context="x" * BYTES, query="q").answer
    (counted,) = CountedSandbox.opened
    assert answer == str(BYTES)
    assert BYTES < counted.sent < 1.2 * BYTES


def test_what_the_model_reads_does_not_grow_with_the_context() -> None:
    _, small = submitted("SUBMIT(answer=len(context))", context="x" * 10_000)
    _, large = submitted("SUBMIT(answer=len(context))", context="x" * 10_000_000)
    assert abs(len(large.requests[0].text) - len(small.requests[0].text)) < 100


def test_every_prompt_begins_with_the_one_before() -> None:
    """Providers cache prompts by prefix; a history that is rewritten is paid for in full each time."""
    _, server = submitted(*(f"print('turn {turn}', len(context))" for turn in range(4)), "SUBMIT(answer='x')")
    for before, after in itertools.pairwise(server.requests[1:]):
        history = before.text.rpartition("[[ ## iteration ## ]]")[0].rstrip()
        assert "turn 0" in history
        assert after.text.startswith(history)


@pytest.mark.parametrize("size", [20_000, 20_000_000])
def test_a_trace_holds_a_description_of_the_context_and_not_its_text(size: int, fleet_home: Path) -> None:
    run, _ = submitted("SUBMIT(answer='x')", context="needle in hay " * (size // 14))
    assert sum(path.stat().st_size for path in (fleet_home / "runs" / run.id).rglob("*") if path.is_file()) < 60_000


def test_every_event_has_its_place_and_every_span_a_parent() -> None:
    run, _ = submitted("print(llm_query('q'))", "SUBMIT(answer='x')")
    spans = run.tree.spans
    assert [event.seq for event in run.events()] == list(range(len(run.events())))
    assert [span.parent for span in spans.values()].count(None) == 1
    assert all(span.parent in spans for span in spans.values() if span.parent is not None)


def test_the_trace_of_a_run_of_full_length_is_bounded(fleet_home: Path) -> None:
    """Every prompt is kept as it was sent, so twenty long iterations are the worst a loop can do."""
    cells = [f"print('{turn} ' + 'x' * 10_000)" for turn in range(19)]
    run, server = submitted(*cells, "SUBMIT(answer='x')")
    kept = sum(path.stat().st_size for path in (fleet_home / "runs" / run.id).rglob("*") if path.is_file())
    sent = sum(len(request.text) for request in server.requests)
    assert kept < 1.5 * sent < 5_000_000


def test_a_run_read_back_has_no_gap(tmp_path: Path) -> None:
    run, _ = submitted("print(1)", "SUBMIT(answer='x')")
    assert fleet.Run.from_jsonl(run.to_jsonl(tmp_path / "log")).tree.canonical() == run.tree.canonical()
