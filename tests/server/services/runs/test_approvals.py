"""Runs that ask, over REST and sockets: approved, declined, stopped, killed and restarted while they wait."""

from __future__ import annotations

import datetime
import os
import signal
from typing import Any

import pytest

from tests.server.services.conftest import Model
from tests.server.serving import Serving, Talk

WRITE, CLEAR = "Write to the buffer notes?", "Remove the buffer notes?"


def begun(server: Serving, session: str, approve: str = "ask") -> str:
    """A run that will write a note, and then clear the notes."""
    run: str = server.post("runs", message="keep notes", session=session, approve=approve)["run"]
    return run


def asked(talk: Talk, question: str, since: int = -1) -> dict[str, Any]:
    """The question, once it is asked, by an event after `since`."""
    seen = 0
    while True:
        for event in talk.events[seen:]:
            if event["kind"] == "approval.ask" and event["question"] == question and event["seq"] > since:
                return event
        seen = len(talk.events)
        assert talk.hear()["type"] == "events"


def outputs(server: Serving, run: str) -> list[str]:
    """What the tools told the model."""
    return [span["output"] for span in server.get(f"runs/{run}/spans")["items"] if span["type"] == "tool"]


def test_over_rest_a_run_asks_is_approved_and_does_it(server: Serving) -> None:
    run = begun(server, "asks")
    with server.watch(f"run={run}") as talk:
        first = asked(talk, WRITE)
        assert (first["tool"], first["options"]) == ("write_buffer", ["once", "always", "no"])
        assert "answer one of" in server.post(f"runs/{run}/approve", 400, answer="perhaps")["message"]
        server.post(f"runs/{run}/approve", 204, answer="once")
        second = asked(talk, CLEAR)
        again = server.post(f"runs/{run}/approve", 409, answer="no", ask=first["seq"])
        assert again["message"].endswith(f"asked at event {first['seq']} was answered already: once")
        server.post(f"runs/{run}/approve", 204, answer="always", ask=second["seq"])
        assert talk.until("ended")["status"] == "ok"
    assert outputs(server, run) == ["buffer 'notes' holds 1 texts", "buffer 'notes' is removed"]
    assert "is not going on" in server.post(f"runs/{run}/approve", 409, answer="once")["message"]
    assert server.post("runs/no-such-run/approve", 404, answer="once")["code"] == "not_found"
    server.post("runs", 422, message="keep notes", session="asks", approve="maybe")


def test_whoever_comes_late_reads_what_is_asked_and_answers_it(server: Serving) -> None:
    run = begun(server, "asks late")
    with server.watch(f"run={run}") as talk:
        for question, answer in ((WRITE, "once"), (CLEAR, "no")):
            event = asked(talk, question)
            (waiting,) = server.get(f"runs/{run}")["asks"]
            assert waiting == {
                **{name: event[name] for name in ("seq", "span", "tool", "question", "options")},
                "asked_at": datetime.datetime.fromtimestamp(event["ts"] / 1e6, datetime.UTC)
                .isoformat()
                .replace("+00:00", "Z"),
            }
            (listed,) = server.get("runs", session="asks late", status="running")["items"]
            assert listed["asks"] == [waiting]
            server.post(f"runs/{run}/approve", 204, answer=answer, ask=waiting["seq"])
        talk.until("ended")
    assert server.get(f"runs/{run}")["asks"] == []
    answers = [one for one in server.get(f"runs/{run}/events")["events"] if one["kind"] == "approval.answer"]
    assert [(one["answer"], one["by"]) for one in answers] == [("once", "local"), ("no", "local")]


def test_over_a_socket_a_run_is_declined_and_goes_another_way(server: Serving, model: Model) -> None:
    with server.drive() as talk:
        run = talk.ask("keep notes", session_id="asks over a socket", approve="ask")["run"]
        asked(talk, WRITE)
        talk.say("approve", id="a1", run=run, answer="no", note="the zeppelin log has it")
        assert talk.until("done")["id"] == "a1"
        asked(talk, CLEAR)
        talk.say("approve", id="a2", run=run, answer="no")
        assert talk.until("ended")["status"] == "ok"
        talk.say("approve", id="a3", run=run, answer="no")
        heard = talk.hear()
        assert (heard["type"], heard["id"], heard["code"]) == ("error", "a3", "conflict")
        talk.say("command", command="list_buffers", session_id="asks over a socket")
        assert talk.until("command_result")["result"] == "there are no buffers"
    assert model.asked("write_buffer was not used, for the user declined: the zeppelin log has it") >= 1


def test_edits_lets_a_session_write_what_is_its_own(server: Serving) -> None:
    run = begun(server, "edits", "edits")
    assert server.finished(run)["status"] == "ok"
    assert outputs(server, run)[0] == "buffer 'notes' holds 1 texts"


def test_two_runs_that_wait_are_told_apart(server: Serving) -> None:
    one, two = begun(server, "asks"), begun(server, "asks too")
    with server.watch(f"run={one}") as first, server.watch(f"run={two}") as second:
        asked(first, WRITE)
        asked(second, WRITE)
        server.post(f"runs/{two}/approve", 204, answer="no", note="not this one")
        asked(second, CLEAR)
        assert server.get(f"runs/{one}")["status"] == "running"
        assert outputs(server, one) == [None]
        for run in (one, two):
            server.post(f"runs/{run}/stop", 202)
        assert first.until("ended")["status"] == second.until("ended")["status"] == "stopped"


def test_stop_ends_the_waiting_and_the_question_with_it(server: Serving) -> None:
    run = begun(server, "asks")
    with server.watch(f"run={run}") as talk:
        asked(talk, WRITE)
        server.post(f"runs/{run}/stop", 202)
        assert talk.until("ended")["status"] == "stopped"
    server.post(f"runs/{run}/approve", 409, answer="once")


@pytest.mark.parametrize("death", ["kernel", "server"])
def test_whoever_dies_while_a_run_waits_it_asks_again_and_what_was_answered_it_does_not(
    server: Serving, death: str
) -> None:
    run = begun(server, f"asks until the {death} dies")
    with server.watch(f"run={run}") as talk:
        asked(talk, WRITE)
        server.post(f"runs/{run}/approve", 204, answer="once")
        waited = asked(talk, CLEAR)
        if death == "kernel":
            os.kill(server.kernel_of(f"asks until the {death} dies"), signal.SIGKILL)
            assert talk.until("ended")["status"] == "cut"
    if death == "server":
        server.stop()
        server.start()
    going = server.post(f"runs/{run}/resume", 200)
    with server.watch(f"run={run}&since={going['next']}") as talk:
        asked(talk, CLEAR, since=waited["seq"])
        server.post(f"runs/{run}/approve", 409, answer="once", ask=waited["seq"])
        server.post(f"runs/{run}/approve", 204, answer="no")
        assert talk.until("ended")["status"] == "ok"
    questions = [one["question"] for one in server.get(f"runs/{run}/events")["events"] if one["kind"] == "approval.ask"]
    assert questions == [WRITE, CLEAR, CLEAR]
