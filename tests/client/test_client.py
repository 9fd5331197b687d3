"""The client against a real server: runs, sessions, files, and connections that break."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from fleet_rlm.client import AsyncClient, Client, ClientError, NotReached, Refused
from fleet_rlm.core.errors import UserError
from fleet_rlm.core.events import ApprovalAsk
from tests.server.services.conftest import Model
from tests.server.serving import ROOT, TOKEN, Serving


@pytest.fixture(scope="module")
def fleet(server: Serving) -> Iterator[Client]:
    """A client of the server."""
    with Client(server.origin, token=TOKEN) as client:
        yield client


@pytest.fixture(scope="module")
def run(fleet: Client) -> str:
    """A run of the session "client" that is over."""
    started = fleet.runs.start("What is it?", session="client")
    assert fleet.runs.wait(started.run).status == "ok"
    return started.run


def test_importing_the_client_imports_neither_server_nor_dspy() -> None:
    code = "import sys, fleet_rlm.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = ("dspy", "pandas", "tornado", "pydantic", "fleet_rlm.server", "fleet_rlm.agent", "fleet_rlm.sessions")
    assert not [name for name in done.stdout.split() if name.startswith(heavy)]


def test_a_question_is_asked_watched_and_answered(fleet: Client, run: str) -> None:
    told = fleet.runs.get(run)
    assert (told.answer, told.task, told.usage.llm_calls) == ("forty-two", "What is it?", 2)
    events = list(fleet.runs.events(run))
    assert [event.seq for event in events] == list(range(told.next))
    assert [event.seq for event in fleet.runs.events(run, since=3)] == list(range(3, told.next))
    assert {span.type for span in fleet.runs.spans(run).items} >= {"turn", "llm"}
    assert fleet.runs.list(session="client").items[0].id == run
    assert fleet.runs.feedback(run, True, comment="right").value is True


def test_what_a_run_asks_is_answered(fleet: Client) -> None:
    started = fleet.runs.start("keep notes", session="client asks", approve="ask")
    answers = iter([("once", None), ("no", "they are needed")])
    for event in fleet.runs.events(started.run):
        if isinstance(event, ApprovalAsk):
            answer, note = next(answers)
            fleet.runs.approve(started.run, answer, ask=event.seq, note=note)
    with pytest.raises(Refused, match="is not going on"):
        fleet.runs.approve(started.run)
    outputs = [span.output for span in fleet.runs.spans(started.run).items if span.type == "tool"]
    assert outputs[0] == "buffer 'notes' holds 1 texts"
    assert "the user declined: they are needed" in str(outputs[1])


def test_whoever_comes_late_finds_what_a_run_asks_and_since_when(fleet: Client) -> None:
    run = fleet.runs.start("keep notes", session="client comes late", approve="ask").run
    for event in fleet.runs.events(run):
        if isinstance(event, ApprovalAsk):
            (waiting,) = fleet.runs.get(run).asks
            assert (waiting.seq, waiting.question, waiting.options) == (event.seq, event.question, event.options)
            assert fleet.runs.get(run).started_at < waiting.asked_at < datetime.datetime.now(datetime.UTC)
            fleet.runs.approve(run, waiting.options[-1], ask=waiting.seq)
    assert (fleet.runs.get(run).status, fleet.runs.get(run).asks) == ("ok", [])


def test_events_come_as_they_happen_and_a_run_is_stopped_and_resumed(fleet: Client, model: Model) -> None:
    gate = model.gate("client waits")
    started = fleet.runs.start("client waits", session="client", mode="direct")
    seen = []
    for event in fleet.runs.events(started.run):
        seen.append(event.seq)
        if getattr(event, "type", None) == "llm":
            fleet.runs.stop(started.run)
    assert fleet.runs.get(started.run).status == "stopped"
    gate.open()
    resumed = fleet.runs.resume(started.run)
    assert resumed.next == len(seen)
    assert fleet.runs.wait(started.run).status == "ok"


def test_a_branch_changes_one_reply(fleet: Client, run: str) -> None:
    span = [one.id for one in fleet.runs.spans(run).items if one.type == "llm"][-1]
    reply = "[[ ## reasoning ## ]]\nx\n\n[[ ## answer ## ]]\nforty-three\n\n[[ ## completed ## ]]"
    branch = fleet.runs.wait(fleet.runs.branch(run, span, reply=reply).run)
    assert (branch.parent_run, branch.answer) == (run, "forty-three")


def test_sessions_are_described_put_away_and_exported(fleet: Client, run: str, tmp_path: Path) -> None:
    assert fleet.sessions.patch("client", title="Mine", metadata={"a": 1}).metadata == {"a": 1}
    assert fleet.sessions.patch("client", metadata={"a": None}).metadata == {}
    assert fleet.sessions.get("client").turn_count == fleet.sessions.turns("client").total
    assert fleet.sessions.stats("client").runs >= 1
    assert fleet.sessions.edit_memory("client", "human", "Ada")["human"] == "Ada"
    assert fleet.sessions.memory("client")["human"] == "Ada"
    frame = pd.read_parquet(fleet.sessions.export("client", tmp_path / "spans.parquet", "parquet"))
    assert run in set(frame["run"])
    assert [one.name for one in fleet.sessions.list(search="mine").items] == ["client"]
    assert fleet.sessions.archive("client").status == "archived"
    assert fleet.sessions.restore("client").status == "active"


def test_a_session_is_deleted_for_good(fleet: Client) -> None:
    started = fleet.runs.start("What?", session="short", mode="direct")
    fleet.runs.wait(started.run)
    assert fleet.sessions.delete("short").id == started.session
    for gone in (lambda: fleet.sessions.get("short"), lambda: fleet.runs.get(started.run)):
        with pytest.raises(Refused) as refused:
            gone()
        assert refused.value.code == "not_found"


def test_files_go_up_and_come_down(fleet: Client, run: str, tmp_path: Path) -> None:
    volume = fleet.sessions.get("client").id
    (tmp_path / "a.txt").write_text("Grüße")
    assert fleet.volumes.upload(volume, "memory/a.txt", tmp_path / "a.txt").bytes == 7
    assert [node.path for node in fleet.volumes.tree(volume, "memory").nodes] == ["memory/a.txt"]
    assert fleet.volumes.download(volume, "memory/a.txt", tmp_path / "b.txt").read_text() == "Grüße"
    assert volume in {one.name for one in fleet.volumes.list(limit=1_000).items}
    fleet.volumes.delete(volume, "memory/a.txt")
    with pytest.raises(Refused) as error:
        fleet.volumes.download(volume, "memory/a.txt", tmp_path / "c.txt")
    assert error.value.code == "not_found"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"], "nothing half is left"
    assert fleet.artifacts.list(run).items == []


def test_a_refusal_is_an_error_in_the_servers_words(fleet: Client, server: Serving) -> None:
    with pytest.raises(Refused, match="there is no run 'never-was' here") as missing:
        fleet.runs.get("never-was")
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    with pytest.raises(Refused) as unwatched:
        list(fleet.runs.events("never-was"))
    assert unwatched.value.code == "not_found"
    with Client(server.origin, token="wrong") as stranger, pytest.raises(Refused) as unknown:
        stranger.me()
    assert unknown.value.status == 401
    with pytest.raises(UserError, match="no address of a server"):
        Client("127.0.0.1:8000")


def test_a_server_that_is_not_there_is_told(fleet: Client) -> None:
    with Client("http://127.0.0.1:9", token=TOKEN) as nowhere, pytest.raises(NotReached, match="does not answer"):
        nowhere.health()
    assert issubclass(NotReached, ClientError)
    assert fleet.health().ok
    assert fleet.ready().ready
    assert fleet.me().user == "local"


def test_the_coroutines_are_the_same_on_any_loop(server: Serving, run: str) -> None:
    async def watched() -> list[int]:
        async with AsyncClient(server.origin, token=TOKEN) as client:
            assert (await client.runs.wait(run)).answer == "forty-two"
            return [event.seq async for event in client.runs.events(run)]

    numbers = asyncio.run(watched())
    assert numbers == list(range(len(numbers)))
