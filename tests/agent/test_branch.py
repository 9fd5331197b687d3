"""A branch shares the past of a run up to a span, differs there, and is a whole run by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import fleet_rlm as fleet
from fleet_rlm.core import events as ev
from fleet_rlm.core.log import MAX_VALUE
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.running import BIG, model
from tests.twins.scripts import Prompt, answer, react_step, rlm_action

ASK = "asked = llm_query_batched([f'question {i}' for i in range(4)])\nprint(asked)"
CHILD = "deep = sub_rlm('look deeper', context='deep down')\nprint(deep)"
SUBMIT = "SUBMIT(answer=str(asked) + deep)"


def script(**changes: Any) -> dict[str, Any]:
    """A run of an agent, one delegate and one child: two steps and an answer, three iterations, four queries, and one
    iteration of the child; what it answers follows from what it was told."""

    def step(prompt: Prompt) -> str:
        if "observation_0" in prompt.user:
            return react_step("done", "finish")
        return react_step("look", "delegate_to_rlm", query="find it")

    def action(prompt: Prompt) -> str:
        if "deep down" in prompt.inputs["variables_info"]:
            return rlm_action("-", "SUBMIT(answer=f'{prompt} in {context}')")
        turn = int(prompt.inputs["iteration"].partition("/")[0])
        return rlm_action("-", [ASK, CHILD, SUBMIT][turn - 1])

    def extract(prompt: Prompt) -> str:
        told = prompt.user.partition("observation_0 ## ]]\n")[2].partition("\n[[")[0].strip()
        return answer(reasoning="-", answer=f"{prompt.inputs['question']} {told}")

    return {
        "react_step": step,
        "react_extract": extract,
        "rlm_action": action,
        "bare": lambda prompt: prompt.user.upper(),
        **changes,
    }


CALLS = 11
FIRST = [f"QUESTION {i}" for i in range(4)]


def finished(lm: str) -> fleet.Run:
    run = fleet.run("Which?", context=BIG, lm=lm)
    assert run.answer == f"Which? {FIRST}look deeper in deep down"
    return run


def span(run: fleet.Run, type: str, name: str | None = None, nth: int = 0) -> str:
    return [one.id for one in run.tree.spans.values() if one.type == type and name in (None, one.name)][nth]


def query(run: fleet.Run, text: str) -> str:
    return next(one.id for one in run.tree.spans.values() if one.input == f"[user]\n{text}" or one.input == text)


def texts(server: LMServer, since: int) -> list[str]:
    return [request.text for request in server.requests[since:]]


def is_whole(run: fleet.Run, home: Path, origin: fleet.Run, cut: str) -> bool:
    """Whether its log says where it comes from, folds to the same tree from disk, and leaves nothing open."""
    again = fleet.Run.from_jsonl(home / "runs" / run.id / "events.jsonl")
    start = again.tree.start
    assert start is not None
    assert (start.parent_run, start.parent_span) == (origin.id, cut)
    assert again.tree.canonical() == run.tree.canonical()
    assert [root.type for root in again.tree.roots] == ["turn"]
    return not [one for one in again.tree.spans.values() if one.end is None]


def test_another_reply_to_a_sub_query_is_taken_without_asking(fleet_home: Path) -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        assert server.calls == run.usage.llm_calls == CALLS
        cut = query(run, "question 2")
        branch = run.branch(cut, reply="something else").wait()
        told = ["QUESTION 0", "QUESTION 1", "something else", "QUESTION 3"]
        assert branch.answer == f"Which? {told}look deeper in deep down"
        asked = texts(server, CALLS)
    assert [text for text in asked if len(text) < 40] == ["question 3"]  # it began after the span that was changed
    assert branch.usage.llm_calls == branch.budget.spent.calls == len(asked) == 6
    assert is_whole(branch, fleet_home, run, cut)


def test_another_prompt_of_a_sub_query_is_asked() -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        branch = run.branch(query(run, "question 3"), prompt="a better question").wait()
        assert "A BETTER QUESTION" in branch.answer
        assert [text for text in texts(server, CALLS) if len(text) < 40] == ["a better question"]


def test_another_reply_of_the_model_that_writes_code_goes_another_way(fleet_home: Path) -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        cut = span(run, "llm", "action", 2 + 1)  # of the third iteration; the child's is the third call
        branch = run.branch(cut, reply=str(rlm_action("-", "SUBMIT(answer=asked[0])"))).wait()
        assert branch.answer == "Which? QUESTION 0"
        assert server.calls == CALLS + 2  # the agent's second step and its answer
    assert is_whole(branch, fleet_home, run, cut)
    assert run.diff(branch).parts is not None


def test_another_prompt_of_the_model_that_writes_code_is_asked() -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        before = server.requests[-3].body["messages"][-1]["content"]
        cut = span(run, "llm", "action", 3)
        changed = before.replace("iteration", "iteration") + "\nBe brief."
        run.branch(cut, prompt=changed).wait()
        assert texts(server, CALLS)[0].endswith("\nBe brief.")
        assert server.calls == CALLS + 3


def test_other_code_is_run_on_the_variables_of_the_past(fleet_home: Path) -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        cut = next(one.id for one in run.tree.spans.values() if one.code == SUBMIT)
        branch = run.branch(cut, code="SUBMIT(answer=asked[-1] + deep.upper())").wait()
        assert branch.answer == "Which? QUESTION 3LOOK DEEPER IN DEEP DOWN"
        assert server.calls == CALLS + 2
    assert is_whole(branch, fleet_home, run, cut)
    parts = run.diff(branch).parts
    assert parts is not None
    assert parts.a is not None
    assert (parts.a.id, parts.differs) == (cut, "code")


def test_other_code_of_the_agent_is_run() -> None:
    steps = [react_step("count", "execute_code", code="n = 1\nn"), *[react_step("done", "finish")] * 2]
    with model(react_step=steps, react_extract=answer(reasoning="-", answer="x")) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm)
        branch = run.branch(span(run, "code"), code="n = 2\nn").wait()
    assert [one.output for one in branch.tree.spans.values() if one.type == "code"] == ["2"]
    assert "[[ ## observation_0 ## ]]\n2" in server.requests[3].text


def test_another_question_for_a_child_is_asked() -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        branch = run.branch(query(run, "look deeper"), prompt="look elsewhere").wait()
        assert branch.answer == f"Which? {FIRST}look elsewhere in deep down"
        assert not any(text.startswith("question") for text in texts(server, CALLS))
        assert server.calls == CALLS + 4


def test_another_question_for_the_delegate_is_asked() -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        branch = run.branch(query(run, "find it"), prompt="find another").wait()
    assert "find another" in server.requests[CALLS].text
    assert server.calls == CALLS + 10
    assert branch.answer == run.answer


def test_another_question_is_another_run_over_the_same_data(fleet_home: Path) -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        branch = run.branch(span(run, "turn"), prompt="And where?").wait()
        assert (branch.task, server.calls) == ("And where?", 2 * CALLS)
    assert branch.answer.startswith("And where? ")
    assert is_whole(branch, fleet_home, run, span(run, "turn"))


def test_another_model_answers_from_the_span_on() -> None:
    with model(**script()) as (server, lm), model(**script(bare="OTHER")) as (second, other):
        run = finished(lm)
        cut = query(run, "question 2")
        branch = run.branch(cut, lm=other).wait()
        assert branch.answer == "Which? ['QUESTION 0', 'QUESTION 1', 'OTHER', 'OTHER']look deeper in deep down"
        assert (server.calls, second.calls) == (CALLS, 7)


def test_the_past_is_not_counted_towards_the_budget_of_a_branch() -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        cut = span(run, "step", "step 2")
        branch = run.branch(cut, budget=2).wait()
        assert (branch.answer, branch.status) == (run.answer, "ok")
        assert branch.usage.llm_calls == branch.budget.spent.calls == 2
        assert server.calls == CALLS + 2
    past = [one for one in branch.tree.spans.values() if one.type == "llm" and "used_before" in one.attrs]
    assert len(past) == CALLS - 2
    assert branch.tree.start is not None


def test_the_budget_of_a_branch_is_that_of_the_run_if_none_is_given() -> None:
    with model(**script()) as (_, lm):
        run = fleet.run("Which?", context=BIG, lm=lm, budget=fleet.Budget(calls=12, depth=2, children=3))
        branch = run.branch(span(run, "step", "step 2")).wait()
    assert branch.tree.resumed is not None
    limits = branch.tree.resumed.budget
    assert (limits.calls, limits.depth, limits.children) == (12, 2, 3)


def test_a_branch_of_a_run_that_was_given_more_has_what_it_was_given() -> None:
    log = "ERROR at dawn\nall is well\n" * 20_000
    short = fleet.run("How many lines mention 'ERROR'?", context={"log": log}, budget=4)
    whole = short.resume(budget=40).wait()
    rlm = next(span.id for span in whole.tree.spans.values() if span.type == "rlm")
    branched = whole.branch(rlm, prompt="How many lines mention 'well'?").wait()
    assert (short.status, whole.status, branched.status) == ("exhausted", "ok", "ok")
    assert branched.tree.start is not None
    assert branched.tree.start.budget.calls == 40
    assert "20000 lines mention `well`" in branched.answer


def test_a_branch_is_readable_and_can_be_gone_on_with_when_its_origin_is_gone(fleet_home: Path) -> None:
    wide = f"wide = context[:{MAX_VALUE * 2}]\nprint(wide)"
    replies = [
        rlm_action("-", code)
        for code in (wide, "print('a')", "SUBMIT(answer='x')", "SUBMIT(answer=wide)", "SUBMIT(answer=wide)")
    ]
    with model(rlm_action=replies) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        cut = next(one.id for one in run.tree.spans.values() if one.code == "print('a')")
        branch = run.branch(cut, code=wide.replace("wide", "long")).wait()
        kept = Path(run.artifacts[0].path).read_bytes()
        shutil.rmtree(fleet_home / "runs" / run.id)
        again = fleet.Run.from_jsonl(fleet_home / "runs" / branch.id / "events.jsonl")
        assert [Path(one.path).is_file() for one in again.artifacts] == [True] * len(again.artifacts)
        assert Path(again.artifacts[0].path).read_bytes() == kept
        third = again.branch(next(one.id for one in again.tree.spans.values() if "long" in (one.code or "")), code="1")
        assert third.wait().status == "ok"


def test_a_branch_never_writes_into_a_file_of_its_origin() -> None:
    wide = "print(context[:{}])"
    first = [wide.format(MAX_VALUE * 2), wide.format(MAX_VALUE * 3), "SUBMIT(answer='x')"]
    replies = [rlm_action("-", code) for code in [*first, "SUBMIT(answer='y')"]]
    with model(rlm_action=replies) as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        before = [Path(one.path).read_bytes() for one in run.artifacts]
        cut = next(one.id for one in run.tree.spans.values() if one.code == first[1])
        branch = run.branch(cut, code=f"print('other' * {MAX_VALUE})").wait()
        assert branch.answer == "y"
    assert [Path(one.path).read_bytes() for one in run.artifacts] == before
    assert len(before) >= 2


def test_a_branch_of_a_branch_names_its_parent_and_asks_nothing_of_both_pasts(fleet_home: Path) -> None:
    with model(**script()) as (server, lm):
        run = finished(lm)
        one = run.branch(query(run, "question 2"), reply="something else").wait()
        asked = server.calls
        cut = next(node.id for node in one.tree.spans.values() if node.code == SUBMIT)
        two = one.branch(cut, code="SUBMIT(answer=asked[2])").wait()
        assert (two.answer, server.calls) == ("Which? something else", asked + 2)
    assert is_whole(two, fleet_home, one, cut)


def test_a_run_that_is_going_on_can_be_branched(fleet_home: Path) -> None:
    gate = Gate()

    def bare(prompt: Prompt) -> str | Reply:
        return Reply("LATE", gate=gate) if prompt.user == "question 3" else prompt.user.upper()

    with model(**script(bare=bare)) as (server, lm):
        run = fleet.start("Which?", context=BIG, lm=lm)
        server.wait_for(6)
        branch = run.branch(query(run, "question 3"), reply="EARLY").wait()
        assert branch.answer == "Which? ['QUESTION 0', 'QUESTION 1', 'QUESTION 2', 'EARLY']look deeper in deep down"
        assert run.status == "running"
        gate.open()
        assert "LATE" in run.wait().answer
    assert is_whole(branch, fleet_home, run, query(run, "question 3"))


def test_a_branch_can_be_resumed(fleet_home: Path) -> None:
    gate = Gate()
    with model(**script()) as (server, lm):
        run = finished(lm)
    held = script(bare=lambda prompt: Reply("LATE", gate=gate))
    with model(**held) as (second, other):
        branch = run.branch(query(run, "question 2"), reply="EARLY", lm=other)
        second.wait_for(1)
        branch.stop()
        with pytest.raises(fleet.RunStopped):
            branch.wait(30)
        gate.open()
        again = fleet.resume(branch.id).wait()
    assert again.answer == "Which? ['QUESTION 0', 'QUESTION 1', 'EARLY', 'LATE']look deeper in deep down"
    assert second.calls == again.usage.llm_calls == 7
    assert server.calls == CALLS
    assert is_whole(again, fleet_home, run, query(run, "question 2"))


def test_what_failed_in_the_past_of_a_branch_stays_as_it_was() -> None:
    replies = iter([Reply(status=401, error={"message": "no"}), "fine"])
    codes = ["llm_query('once')", "found = llm_query('again')", "print(found)", "SUBMIT(answer=found)"]
    made = [rlm_action("-", code) for code in [*codes, codes[-1]]]
    with model(rlm_action=made, bare=lambda prompt: next(replies)) as (server, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        asked = server.calls
        cut = next(node.id for node in run.tree.spans.values() if node.code == codes[1])
        assert run.branch(cut, code="found = 'changed'").wait().answer == "changed"
        assert server.calls == asked + 1
        assert not any(text in ("once", "again") for text in texts(server, asked))


@pytest.mark.parametrize(
    ("type", "change", "sentence"),
    [
        ("llm", {"code": "1"}, "is a span of type 'llm' and has no code; what can be changed there is prompt or reply"),
        ("code", {"reply": "x"}, "has no reply; what can be changed there is code"),
        ("rlm", {"reply": "x"}, "has no reply; what can be changed there is prompt"),
        ("turn", {"code": "x"}, "has no code; what can be changed there is prompt"),
        ("tool", {"prompt": "x"}, "has no prompt; only model and budget can"),
        ("llm", {"prompt": "x", "reply": "y"}, "one change makes a branch: prompt or reply, not both"),
    ],
)
def test_a_change_that_cannot_be_made_says_what_can(
    type: str, change: dict[str, Any], sentence: str, fleet_home: Path
) -> None:
    with model(**script()) as (_, lm):
        run = finished(lm)
        with pytest.raises(fleet.UserError, match=sentence):
            run.branch(span(run, type), **change)
    assert [path.name for path in (fleet_home / "runs").iterdir()] == [run.id]


def test_a_span_or_an_option_that_is_none_is_named_and_leaves_nothing_behind(fleet_home: Path) -> None:
    with model(**script()) as (_, lm):
        run = finished(lm)
        with pytest.raises(fleet.UserError, match=r"has no span 's999'; run\.spans\(\) lists them"):
            run.branch("s999")
        with pytest.raises(fleet.UserError, match="has no option"):
            run.branch("s1", colour="red")
        with pytest.raises(fleet.ModelError):
            run.branch("s1", lm="nobody/nothing")
    assert [path.name for path in (fleet_home / "runs").iterdir()] == [run.id]


def test_a_change_that_is_never_reached_is_said() -> None:
    code = "import os\nprint(llm_query(f'I am {os.getpid()}'))"
    made = [rlm_action("-", code), rlm_action("-", "SUBMIT(answer='x')")] * 2
    with model(rlm_action=made, bare="fine") as (_, lm):
        run = fleet.run("What?", context=BIG, lm=lm, mode="rlm_only")
        branch = run.branch(span(run, "llm", "query"), reply="never heard").wait()
    assert any("before it came to what the branch changes" in note.text for note in branch.tree.notes)


def test_the_events_of_a_branch_are_a_log_of_its_own() -> None:
    with model(**script()) as (_, lm):
        run = finished(lm)
        branch = run.branch(span(run, "step", "step 2")).wait()
    events = branch.events()
    assert {event.run for event in events} == {branch.id} != {run.id}
    assert [event.seq for event in events] == list(range(len(events)))
    assert isinstance(events[0], ev.RunStart)
    assert sum(isinstance(event, ev.RunEnd) for event in events) == 1


def test_a_diff_as_text_and_as_a_frame_shows_both_sides() -> None:
    with model(**script()) as (_, lm):
        run = finished(lm)
        cut = query(run, "question 2")
        branch = run.branch(cut, reply="something else").wait()
    diff = run.diff(branch)
    assert diff.parts is not None
    assert diff.parts.a is not None
    assert diff.parts.a.id == cut
    text = str(diff)
    assert f"branched off {run.id} at {cut}" in text
    line = text.partition("here they part\n")[2].partition("\n")[0]
    assert "QUESTION 2" in line
    assert "something else" in line
    frame = diff.frame()
    (row,) = frame[frame.span_a == cut].to_dict("records")
    assert (row["same"], row["differs"], row["output_a"], row["output_b"]) == (
        False,
        "output",
        "QUESTION 2",
        "something else",
    )
    assert run.diff(run).parts is None
