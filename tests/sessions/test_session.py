"""A session: turns that know each other, in one sandbox, and all of it there again in another kernel."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from pathlib import Path

import dspy
import pytest

import fleet_rlm as fleet
from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.sessions.errors import (
    SandboxGone,
    SessionBusy,
    SessionClosed,
    SessionExists,
    SessionInUse,
    SessionNotFound,
    TurnCut,
)
from fleet_rlm.sessions.shelf import Shelf
from fleet_rlm.sessions.turns import Turn
from tests.agent.documents.repositories import repository
from tests.sessions.talking import DONE, finished, kernel, running, saying
from tests.twins.replies import Gate, Reply
from tests.twins.running import model
from tests.twins.scripts import react_step


def test_a_turn_knows_the_turns_before_it_and_their_variables_and_values() -> None:
    steps = running("kept = len(logs)", "print(kept + 1, logs[:3])")
    with (
        model(react_step=steps, react_extract=[saying("first answer"), saying("second answer")]) as (server, lm),
        fleet.Session("incident") as session,
    ):
        session.ask("How long?", lm=lm, context={"logs": "abcdef"})
        run = session.ask("And one more?", lm=lm)
        assert run.answer == "second answer"
        assert "7 abc" in server.requests[4].text
        assert "first answer" in server.requests[3].text
        assert [turn.question for turn in session.turns] == ["How long?", "And one more?"]
        assert session.turns.frame()["answer"].tolist() == ["first answer", "second answer"]
        assert run.tree.start is not None
        assert run.tree.start.session == session.id
        assert session.is_saved


def test_a_value_that_is_given_again_is_sent_again_even_if_it_is_the_same_object() -> None:
    numbers = list(range(1_000_000))  # as much as a sandbox keeps and does not fetch again by itself
    with (
        model(react_step=running("print(sum(numbers[:3]))", "print(sum(numbers[:3]))"), react_extract=saying()) as (
            server,
            lm,
        ),
        fleet.Session("incident") as session,
    ):
        session.ask("Sum?", lm=lm, context={"numbers": numbers})
        numbers[0] = 1_000
        session.ask("Sum now?", lm=lm, context={"numbers": numbers})
        assert "1003" in server.requests[4].text


def test_everything_is_there_again_in_another_kernel(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# Report\nthe magic number is 7481\n")
    with (
        model(
            react_step=[*running("kept = 1"), *running("print(report[-6:-1], logs)", "print('kept' in globals())")],
            react_extract=saying(),
        ) as (server, lm),
    ):
        first = kernel(
            "with Session('incident') as s:\n"
            "    s.memory.edit('human', 'is called Ada')\n"
            "    s.buffers.write('evidence', ['line 7'])\n"
            "    s.load(sys.argv[2])\n"
            "    s.volume.write('memory/note.md', 'a note')\n"
            "    s.ask('Set it', lm=sys.argv[1], context={'logs': 'abc'})\n",
            lm,
            str(tmp_path / "report.md"),
        )
        finished(first)
        with fleet.Session("incident") as session:
            assert [type(notice) for notice in session.notices] == [SandboxGone]
            assert session.notices[0].variables == ("kept",)  # type: ignore[attr-defined]
            assert [turn.question for turn in session.turns] == ["Set it"]
            assert session.memory.sections["human"] == "is called Ada"
            assert session.buffers.read("evidence") == ["line 7"]
            assert session.documents.get("report").text.startswith("# Report")
            assert session.volume.read("memory/note.md") == b"a note"
            run = session.ask("Read them", lm=lm)
            assert "7481 abc" in server.requests[4].text
            assert "is called Ada" in server.requests[3].text
            assert any("sandbox of earlier turns is gone" in note.text for note in run.tree.notes)
            again = session.ask("Is it there?", lm=lm)
            assert "False" in server.requests[7].text
            assert again.tree.notes == []


def test_the_user_loads_a_repository_at_a_ref_and_sees_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    with fleet.Session("incident") as session:
        assert repr(session.documents) == "no documents"
        assert "one" in session.load_repository("shop", "v1").text
        session.buffers.write("evidence", ["line 7"])
        assert repr(session.documents) == "* shop: repository, 58 characters"
        assert repr(session.buffers) == "evidence: 1 texts"
        assert "documents=1" in repr(session)
        with pytest.raises(DocumentError, match="name what to load"):
            session.load("")


def test_a_turn_whose_kernel_was_killed_is_known_and_goes_on_without_paying_twice() -> None:
    gate = Gate()
    steps = [react_step("look", "execute_code", code="print(6 * 7)"), Reply(str(DONE), gate=gate), DONE]
    with model(react_step=steps, react_extract=saying("42 it is")) as (server, lm):
        killed = kernel("s = Session('incident')\ns.ask('What is it?', lm=sys.argv[1], context={'n': 6})\n", lm)
        server.wait_for(2)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        gate.open()
        server.wait_idle()
        with fleet.Session("incident") as session:
            (notice,) = [one for one in session.notices if isinstance(one, TurnCut)]
            assert (session.turns[0].status, session.turns[0].run) == ("failed", notice.run)
            before = server.calls
            run = session.resume(notice.run).wait()
            assert run.answer == "42 it is"
            assert server.calls - before == 2  # the step that had no reply, and the answer
            assert [(turn.status, turn.answer, turn.run) for turn in session.turns] == [("ok", "42 it is", run.id)]
        with fleet.Session("incident") as session:
            assert [turn.answer for turn in session.turns] == ["42 it is"]
            assert not [one for one in session.notices if isinstance(one, TurnCut)]


def test_a_sandbox_that_dies_in_a_turn_is_replaced_in_the_next_and_that_is_said() -> None:
    steps = running("kept = 1", "import os; os._exit(3)", "print('kept' in globals(), logs)")
    with (
        model(react_step=steps, react_extract=saying()) as (server, lm),
        fleet.Session("incident") as session,
    ):
        session.ask("Set it", lm=lm, context={"logs": "abc"})
        session.ask("Die", lm=lm)
        run = session.ask("Go on", lm=lm)
        assert "False abc" in server.requests[7].text
        (note,) = run.tree.notes
        assert "sandbox of earlier turns is gone" in note.text
        assert "`kept`" in note.text


def test_another_backend_for_a_turn_is_another_sandbox_and_that_is_said() -> None:
    with (
        model(react_step=running("kept = 1", "print('kept' in globals())"), react_extract=saying()) as (server, lm),
        fleet.Session("incident", sandbox="process") as session,
    ):
        assert session.ask("Set it", lm=lm).isolation.tier == "process"  # type: ignore[union-attr]
        run = session.ask("Look", lm=lm, sandbox="local")
        assert run.isolation is not None
        assert run.isolation.tier != "process"
        assert "False" in server.requests[4].text
        assert "not 'process'" in run.tree.notes[0].text


def test_what_the_agent_remembers_is_in_its_next_prompt_with_its_run() -> None:
    remember = react_step("note it", "edit_core_memory", section="human", content="likes tables")
    with (
        model(react_step=[remember, DONE, DONE], react_extract=saying()) as (server, lm),
        fleet.Session("incident") as session,
    ):
        run = session.ask("I like tables", lm=lm)
        session.ask("What do I like?", lm=lm)
        assert "likes tables" in server.requests[3].text
        (edit,) = session.memory.edits
        assert (edit.who, edit.run) == ("agent", run.id)


def test_files_of_a_run_land_in_the_volume_with_hash_and_provenance() -> None:
    code = "import os; os.makedirs('artifacts/deep', exist_ok=True); open('artifacts/deep/x.csv', 'w').write('a,b')"
    with (
        model(react_step=running(code, "print('y' * 50_000)"), react_extract=saying()) as (_, lm),
        fleet.Session("incident") as session,
    ):
        run = session.ask("Write it", lm=lm)
        session.ask("Print much", lm=lm)  # a long output is kept beside the log, and is no file of anybody's
        (kept,) = session.artifacts
        assert session.volume.read(kept["path"]) == b"a,b"
        assert kept["sha256"] == hashlib.sha256(b"a,b").hexdigest()
        assert kept["run"] == run.id
        assert run.tree.spans[kept["span"]].type == "code"


def test_a_failed_turn_is_a_turn_and_the_model_is_told_why_it_has_no_answer() -> None:
    with (
        model(react_step=[Reply("no", status=401, error={"message": "bad key"}), DONE], react_extract=saying()) as (
            server,
            lm,
        ),
        fleet.Session("incident") as session,
    ):
        with pytest.raises(fleet.ModelError):
            session.ask("First?", lm=lm)
        session.ask("Second?", lm=lm)
        assert [turn.status for turn in session.turns] == ["failed", "ok"]
        assert "(no answer: " in server.requests[1].text


def test_a_session_that_was_left_and_entered_again_says_that_it_was_closed_and_not_that_a_kernel_ended() -> None:
    with model(react_step=[*running("found = 1"), DONE], react_extract=saying()) as (_, lm):
        with fleet.Session("incident") as session:
            session.ask("First?", lm=lm)
        with fleet.Session("incident") as session:
            (notice,) = session.notices
            assert "(the session was closed in between)" in str(notice)
            assert "lost are `found`" in str(notice)
            session.ask("Second?", lm=lm)
        with fleet.Session("incident") as session:
            assert "lost are" not in str(session.notices[0])


def test_what_we_put_into_the_sandbox_of_the_conversation_is_not_named_among_what_is_lost() -> None:
    with model(react_step=[DONE], react_extract=saying("an answer " * 1_000)) as (_, lm):
        with fleet.Session("incident") as session:
            for number in range(20):
                session.turns.add(Turn.ended(f"{number}?", "word " * 20_000, "ok", f"r{number}", None))
            run = session.ask("First?", lm=lm)
            assert any("session_history" in note.text for note in run.tree.notes)
        with fleet.Session("incident") as session:
            assert "lost are" not in str(session.notices[0])


def test_one_turn_at_a_time() -> None:
    gate = Gate()
    with (
        model(react_step=Reply(str(DONE), gate=gate), react_extract=saying()) as (server, lm),
        fleet.Session("incident") as session,
    ):
        run = session.start("First?", lm=lm)
        server.wait_for(1)
        with pytest.raises(SessionBusy, match="First"):
            session.start("Second?", lm=lm)
        gate.open()
        run.wait()
        session.ask("Second?", lm=lm)


def test_closing_stops_a_turn_and_a_closed_session_answers_no_more() -> None:
    gate = Gate()
    with model(react_step=Reply(str(DONE), gate=gate)) as (server, lm):
        session = fleet.Session("incident")
        run = session.start("First?", lm=lm)
        server.wait_for(1)
        session.close()
        session.close()
        assert run.status == "stopped"
        with pytest.raises(SessionClosed):
            session.ask("Second?", lm=lm)
    with fleet.Session("incident") as again:
        assert [turn.status for turn in again.turns] == ["stopped"]


def test_a_closed_session_keeps_nothing_and_says_so_and_does_not_disturb_who_has_it_open() -> None:
    session = fleet.Session("incident")
    session.close()
    with fleet.Session("incident") as other:
        for change in (lambda: session.memory.edit("human", "Ada"), lambda: session.rename("other"), session.save):
            with pytest.raises(SessionClosed):
                change()
        other.memory.edit("human", "Grace")
        assert other.is_saved
        assert not other.notices
    with fleet.Session("incident") as again:
        assert "Grace" in again.memory.text()


def test_a_session_can_be_asked_from_async_code_and_cancelled() -> None:
    gate = Gate()

    async def ask(session: fleet.Session, lm: str) -> str:
        return str((await session.aask("First?", lm=lm)).answer)

    async def cancel(session: fleet.Session, lm: str, server: object) -> None:
        task = asyncio.create_task(session.aask("Second?", lm=lm))
        await asyncio.to_thread(server.wait_for, 3)  # type: ignore[attr-defined]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    steps = [DONE, Reply(str(DONE), gate=gate)]
    with model(react_step=steps, react_extract=saying()) as (server, lm), fleet.Session("incident") as session:
        assert asyncio.run(ask(session, lm)) == "noted"
        asyncio.run(cancel(session, lm, server))
        server.wait_idle()
        session.close()
        assert [turn.status for turn in session.turns] == ["ok", "stopped"]


def test_two_kernels_on_one_session_are_told_apart() -> None:
    first = kernel("s = Session('incident')\nprint('open', flush=True)\nsys.stdin.read()", stdin=-1)
    assert first.stdout is not None
    assert first.stdout.readline() == "open\n"
    with pytest.raises(SessionInUse, match=f"process {first.pid} on "):
        fleet.Session("incident")
    first.communicate("")
    fleet.Session("incident").close()


def test_a_plan_shows_the_conversation_and_the_memory_that_would_be_sent() -> None:
    with model(react_step=[DONE], react_extract=saying("an answer")) as (server, lm):
        with fleet.Session("incident") as session:
            session.memory.edit("human", "is called Ada")
            session.ask("First?", lm=lm)
            text = session.plan("Second?", lm=lm).text()
        assert server.calls == 2
    for told in ("Session:  incident, 1 earlier turns", "First?", "an answer", "is called Ada", "Way:      agent"):
        assert told in text


def test_names_are_found_changed_and_refused() -> None:
    fleet.Session("one").close()
    with fleet.Session("two") as session:
        identity = session.id
        with pytest.raises(SessionExists):
            session.rename("one")
        session.rename("three")
    with pytest.raises(SessionNotFound, match="did you mean 'three'"):
        fleet.Session.open("thre")
    with pytest.raises(SessionExists):
        fleet.Session.new("one")
    with fleet.Session("three") as session:
        assert session.id == identity
    for name in ("", "  ", "a\nb", "x" * 101):
        with pytest.raises(fleet.UserError):
            fleet.Session(name)
    assert {entry.name for entry in Shelf().entries()} == {"one", "three"}


def test_a_shared_volume_is_shared_and_a_sessions_own_is_not() -> None:
    with fleet.Session("one", volume="team") as one, fleet.Session("two", volume="team") as two:
        one.volume.write("memory/x", "shared")
        assert two.volume.read("memory/x") == b"shared"
    with fleet.Session("three") as three:
        assert three.volume.tree() == []
    with pytest.raises(fleet.UserError, match="team"):
        fleet.Session("one", volume="other")


def test_secrets_are_in_nothing_that_is_saved(
    monkeypatch: pytest.MonkeyPatch, fleet_home: Path, tmp_path: Path
) -> None:
    canary, key = "canary-0123456789", "canary-of-a-model-0123456789"
    monkeypatch.setenv("MY_API_KEY", canary)
    both = f"{canary} {key}"
    remember = react_step("note it", "edit_core_memory", section="human", content=f"key {both}")
    buffer = react_step("note it", "write_buffer", name="b", text=f"key {both}")
    with model(react_step=[remember, buffer, DONE, DONE], react_extract=saying(f"it is {both}")) as (server, _):
        lm = dspy.LM("openai/m", api_base=server.base_url, api_key=key, cache=False)
        with fleet.Session("incident") as session:
            (tmp_path / f"{canary}.md").write_text("a note")
            assert session.load(tmp_path / f"{canary}.md", "notes").source.endswith("[redacted].md")
            cut = session.ask(f"Remember {both}", lm=lm, budget=3)
            session.resume(cut, budget=9, lm=lm).wait()
            session.export(tmp_path / "out.zip")
    for path in [*fleet_home.rglob("*"), tmp_path / "out.zip"]:
        if path.is_file() and path.relative_to(tmp_path).parts[:2] != ("fleet-home", "values"):
            assert canary.encode() not in path.read_bytes(), path
            assert key.encode() not in path.read_bytes(), path
