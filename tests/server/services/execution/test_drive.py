"""Driving runs over `/ws/execution`."""

from __future__ import annotations

import time

import pytest
from websockets.exceptions import ConnectionClosed

from tests.server.services.conftest import Model
from tests.server.serving import ANSWER_S, Serving


def test_a_turn_is_streamed_from_its_first_event_to_its_last(server: Serving) -> None:
    with server.drive() as talk:
        accepted = talk.ask("What is it?", session_id="drive", id="q1")
        assert accepted["id"] == "q1"
        ended = talk.until("ended")
    assert (ended["run"], ended["status"]) == (accepted["run"], "ok"), talk.events
    assert talk.numbers == list(range(ended["next"]))
    assert [talk.events[0]["kind"], talk.events[-1]["kind"]] == ["run.start", "run.end"]
    assert talk.events[0]["v"] == 1
    assert talk.events[-1]["answer"] == "forty-two"
    assert talk.events[0]["session"] == accepted["session"]


def test_a_second_turn_knows_the_first(server: Serving, model: Model) -> None:
    with server.drive() as talk:
        talk.ask("Remember the word heliotrope.", session_id="drive")
        talk.until("ended")
        before = model.asked("heliotrope")
        talk.ask("Which word?", session_id="drive")
        talk.until("ended")
    assert model.asked("heliotrope") > before


def test_cancel_is_heard_at_once_and_ends_the_run(server: Serving, model: Model) -> None:
    model.gate("interminable")
    with server.drive() as talk:
        run = talk.ask("An interminable question", session_id="drive", execution_mode="direct")["run"]
        talk.until_event("span.start", type="llm")
        talk.say("cancel", id="stop")
        heard = [talk.hear() for _ in range(3)]
        while not any(one["type"] == "ended" for one in heard):
            heard.append(talk.hear())
    assert any(one["type"] == "done" and one["id"] == "stop" for one in heard)
    assert heard[-1]["status"] == "stopped"
    model.server.wait_idle()
    assert [one.outcome for one in model.server.requests if "interminable" in one.text] == ["cancelled"]
    assert server.get(f"runs/{run}")["status"] == "stopped"


def test_two_sessions_answer_side_by_side_on_one_connection(server: Serving, model: Model) -> None:
    gate = model.gate("patience")
    with server.drive() as talk:
        slow = talk.ask("This needs patience", session_id="drive", execution_mode="direct")["run"]
        quick = talk.ask("And this does not", session_id="drive too", execution_mode="direct")["run"]
        assert talk.until("ended")["run"] == quick
        gate.open()
        assert talk.until("ended")["run"] == slow
    for run in (slow, quick):
        numbers = [event["seq"] for event in talk.events if event["run"] == run]
        assert numbers == list(range(len(numbers)))


def test_a_session_answers_one_question_at_a_time(server: Serving, model: Model) -> None:
    gate = model.gate("one at a time")
    with server.drive() as talk:
        talk.ask("one at a time", session_id="drive", execution_mode="direct")
        talk.say("message", content="me too", session_id="drive", id="second")
        while (heard := talk.hear())["type"] != "error":
            pass
        assert (heard["id"], heard["code"]) == ("second", "session_busy")
        gate.open()
        talk.until("ended")


def test_a_run_outlives_the_connection_it_was_begun_on(server: Serving, model: Model) -> None:
    gate = model.gate("outlives")
    with server.drive() as talk:
        run = talk.ask("It outlives me", session_id="drive", execution_mode="direct")["run"]
    gate.open()
    assert server.finished(run)["status"] == "ok"


def test_a_question_is_answered_though_the_connection_broke_while_its_kernel_started(server: Serving) -> None:
    """Before it was accepted, that is; whoever comes back and asks again is in the same session."""
    before = server.kernel_processes()
    with server.drive() as talk:
        talk.say("message", content="Do you hear me?", session_id="broken off", execution_mode="direct")
        until = time.monotonic() + ANSWER_S
        while server.kernel_processes() == before:
            assert time.monotonic() < until
            time.sleep(0.02)  # a kernel that starts tells nobody
    with server.drive() as talk:
        heard: dict[str, object] = {"code": "session_busy"}
        while heard.get("code") == "session_busy":  # answering what was asked before
            talk.say("message", content="Is anybody there?", session_id="broken off", execution_mode="direct")
            heard = talk.hear()
        assert heard["type"] == "accepted", heard
        assert talk.until("ended")["status"] == "ok"
    assert server.finished(str(heard["run"]))["status"] == "ok"  # its row is written too
    runs = server.get("runs", session="broken off")["items"]
    assert [run["task"] for run in runs] == ["Is anybody there?", "Do you hear me?"]
    assert len(server.kernel_processes()) == len(before) + 1


def test_what_is_cancelled_ends_though_the_connection_is_gone_at_once(server: Serving, model: Model) -> None:
    model.gate("hang up")
    with server.drive() as talk:
        run = talk.ask("I will hang up", session_id="drive", execution_mode="direct")["run"]
        talk.until_event("span.start", type="llm")
        talk.say("cancel")
    assert server.finished(run)["status"] == "stopped"


def test_commands_work_on_the_session_without_a_model(server: Serving, model: Model) -> None:
    before = model.server.calls
    notes = server.directory / "root" / "notes.txt"
    notes.write_text("the deploy of Tuesday broke checkout\n")
    with server.drive() as talk:
        talk.say("command", id="c1", command="load_document", args={"path": "notes.txt"}, session_id="drive too")
        assert talk.until("command_result")["result"]["alias"] == "notes"
        talk.say("command", id="c2", command="list_documents", session_id="drive too")
        assert [one["alias"] for one in talk.until("command_result")["result"]] == ["notes"]
        talk.say("command", id="c3", command="lst_documents", session_id="drive too")
        heard = talk.hear()
    assert (heard["id"], heard["code"]) == ("c3", "bad_request")
    assert "list_documents" in heard["message"]
    assert model.server.calls == before


def test_documents_and_paths_come_with_the_question(server: Serving, model: Model) -> None:
    root = server.directory / "root"
    (root / "handbook.md").write_text("# Handbook\nAsk Ada about billing.\n")
    (root / "events.log").write_text("one line of a log called zeppelin\n")
    with server.drive() as talk:
        talk.ask("What now?", session_id="drive too", docs=["handbook.md"], context_paths=["events.log"])
        talk.until("ended")
    names = {one["name"] for one in talk.events[0]["context"]}
    assert {"handbook", "events"} <= names


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "message", "content": "x", "tenant_id": "acme"}, "unsupported_identity_fields"),
        ({"type": "message", "content": "x", "max_depth": 3}, "invalid_message"),
        ({"type": "message", "content": ""}, "invalid_message"),
        ({"type": "message", "content": "x", "repo_ref": "main"}, "invalid_request"),
        ({"type": "message", "content": "x", "docs": ["../../etc/passwd"], "session_id": "drive"}, "bad_request"),
        ({"type": "shout"}, "invalid_message"),
        ({"type": "approve", "run": "no-such-run", "answer": "yes"}, "not_found"),
        ({"type": "cancel", "run": "no-such-run"}, "not_found"),
    ],
)
def test_what_cannot_be_is_refused_with_a_code_and_the_connection_stays(
    server: Serving, said: dict[str, object], code: str
) -> None:
    with server.drive() as talk:
        talk.say(id="it", **said)  # type: ignore[arg-type]
        heard = talk.hear()
        assert (heard["type"], heard["id"], heard["code"]) == ("error", "it", code)
        talk.connection.send("{")
        assert talk.hear()["code"] == "invalid_message"


def test_a_message_that_is_too_large_closes_the_connection(server: Serving) -> None:
    with server.drive() as talk:
        talk.say("message", content="x" * 600_000)
        with pytest.raises(ConnectionClosed) as closed:
            talk.hear()
    assert closed.value.rcvd is None or closed.value.rcvd.code in (1009, 1006)
