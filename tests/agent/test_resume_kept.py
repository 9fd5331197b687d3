"""What a run keeps to go on with: outputs, data, models; what is lost of it is asked for."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path
from typing import Any

import dspy
import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import ModelError, RunStopped
from fleet_rlm.core.log import MAX_VALUE
from tests.agent.resuming import BROKEN, cells, failed, is_whole
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.running import BIG, FIND, SUBMIT, model
from tests.twins.scripts import Prompt


def test_a_long_output_and_a_long_reply_are_told_whole(fleet_home: Path) -> None:
    long = f"wide = context[:{MAX_VALUE * 2}]\nprint(wide)"
    noted = f"# {'x' * MAX_VALUE}\nfound = str(len(wide))\nprint(found)"
    with model(rlm_action=cells(long, noted, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm)
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == (str(MAX_VALUE * 2), asked + 1)


def test_output_whose_file_is_gone_is_had_again_and_only_a_lost_reply_is_asked_again(fleet_home: Path) -> None:
    long = f"wide = context[:{MAX_VALUE * 2}]\nprint(wide)"
    with model(rlm_action=cells(long, FIND, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm)
        (kept,) = (fleet_home / "runs" / run.id / "artifacts").iterdir()
        kept.unlink()
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 1)
        assert "line 100: nothing here" in server.requests[-1].text
    noted = f"# {'x' * MAX_VALUE}\n{FIND}"
    with model(rlm_action=cells("print(1)", noted, BROKEN, FIND, SUBMIT)) as (server, lm):
        run = failed(lm)
        for kept in (fleet_home / "runs" / run.id / "artifacts").iterdir():
            kept.unlink()
        asked = server.calls
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", asked + 2)
        assert again.usage.llm_calls == again.budget.spent.calls == server.calls


def test_a_file_that_changed_or_is_gone_is_named_and_can_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "numbers.txt"
    file.write_text(BIG)
    read = "found = str(len(numbers))\nprint(found)"
    with model(rlm_action=cells(read, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm, context={"numbers": file})
        file.write_text(BIG + "more")
        with pytest.raises(fleet.UserError, match=r"numbers .*has changed since the run began.*context={'numbers'"):
            run.resume()
        file.unlink()
        with pytest.raises(fleet.UserError, match=r"numbers .*is gone"):
            run.resume()
        with pytest.raises(fleet.UserError, match="no variable 'letters'; it has numbers"):
            run.resume(context={"letters": 1})
        file.write_text(BIG)
        again = run.resume(context={"numbers": file}).wait()
    assert again.answer == str(len(BIG))


def test_a_value_that_is_not_kept_is_asked_for() -> None:
    data = {"frame": pd.DataFrame({"n": [1, 2]}), "odd": {(1, 2): "tuple keys"}}
    with model(rlm_action=cells("found = str(len(odd)) + str(frame.n.sum())", BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm, context=data)
        with pytest.raises(fleet.UserError, match=r"odd .*of a kind that is not kept.*context={'odd': \.\.\.}"):
            run.resume()
        assert run.resume(context={"odd": data["odd"]}).wait().answer == "13"


def test_with_no_room_for_data_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, fleet_home: Path) -> None:
    monkeypatch.setenv("FLEET_KEEP_MB", "0")
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm)
        assert list((fleet_home / "values").iterdir()) == []
        with pytest.raises(fleet.UserError, match=r"context is not kept \(FLEET_KEEP_MB is 0\)"):
            run.resume()
        assert run.resume(context=BIG).wait().answer == "7481"


def test_data_that_was_lost_before_it_was_kept_is_asked_for(fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (_, lm):
        run = failed(lm)
        kept = fleet_home / "runs" / run.id / "context.json"
        kept.write_bytes(kept.read_bytes()[:10])
        with pytest.raises(fleet.UserError, match="context was not kept"):
            run.resume()
        kept.unlink()
        with pytest.raises(fleet.UserError, match="context was not kept"):
            run.resume()
        assert run.resume(context=BIG).wait().answer == "7481"


def test_a_model_that_was_given_as_an_object_is_asked_for() -> None:
    with LMServer(lambda *_: BROKEN) as server:
        lm = dspy.LM("openai/test", api_base=server.base_url, api_key="k", cache=False, num_retries=0)
        run = failed(lm)
    with model(rlm_action=cells(FIND, SUBMIT)) as (server, _):
        lm = dspy.LM("openai/test", api_base=server.base_url, api_key="k", cache=False, num_retries=0)
        with pytest.raises(ModelError, match=r"openai/test was given as an object; give it again: lm=dspy.LM"):
            run.resume()
        assert run.resume(lm=lm).wait().answer == "7481"


def test_a_run_that_was_replayed_says_so_when_it_asks_for_a_model(tmp_path: Path) -> None:
    with model(rlm_action=cells(FIND, SUBMIT, FIND, SUBMIT)) as (_, lm):
        asked: dict[str, Any] = {"task": "What is the code?", "context": BIG, "mode": "rlm_only"}
        assert fleet.run(**asked, lm=lm, record=tmp_path / "replies.jsonl").answer == "7481"
        with pytest.raises(ModelError, match="has no reply") as unlike:  # the budget stands in the prompt of the end
            fleet.run(**asked, budget=1, replay=tmp_path / "replies.jsonl")
        run = unlike.value.run
        assert run is not None
        with pytest.raises(ModelError, match=r"was replayed from a recording, .*: model='(.*)', or --model \1$"):
            run.resume(budget=9)
        gone_on = run.resume(budget=9, lm=lm).wait()
        assert (gone_on.answer, gone_on.tree.start and gone_on.tree.start.replayed) == ("7481", True)


def test_another_model_can_go_on_and_stays_for_the_next_time() -> None:
    asking = "asked = llm_query_batched(['a', 'b'])\nfound = llm_query('c')\nprint(asked)"
    gate = Gate()

    def bare(prompt: Prompt) -> Reply:
        return Reply("late", gate=gate) if prompt.user == "c" else Reply(f"re: {prompt.user}")

    with model(rlm_action=cells(asking), bare=bare) as (first, lm):
        run = fleet.start("What?", context=BIG, lm=lm, mode="rlm_only")
        first.wait_for(4)
        run.stop()
        with pytest.raises(RunStopped):
            run.wait(30)
    with model(rlm_action=cells(BROKEN, SUBMIT), bare="from the other") as (second, other):
        with pytest.raises(ModelError) as caught:
            run.resume(lm=other.replace("m@", "n@")).wait()
        again = caught.value.run.resume().wait()
        assert again.answer == "from the other"
        texts = [request.text for request in second.requests]
    assert [text for text in texts if len(text) < 5] == ["c"]  # what the first model said of a and b stays


def test_a_full_disk_loses_nothing_while_the_process_lives(fleet_home: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    cell = "print('x' * 3_000)"
    with model(rlm_action=cells(FIND, cell, cell, cell, BROKEN, SUBMIT)) as (server, lm):
        try:
            warm = fleet.run("?", lm="fleet/offline", mode="rlm_only", context=BIG)  # its sandboxes write, too
            assert warm.status in ("ok", "exhausted")
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, old[1]))
            run = failed(lm, context="small")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert any("kept in memory only" in note.text for note in run.tree.notes)
        asked = server.calls
        again = run.resume(context="the magic number is 7481").wait()
        assert server.calls == asked + 1
    assert again.answer == "7481"
    assert is_whole(again, fleet_home)


def test_a_clock_that_was_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch, fleet_home: Path) -> None:
    with model(rlm_action=cells(FIND, BROKEN, SUBMIT)) as (server, lm):
        run = failed(lm, timeout=600)
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - 86_400 * 10**9)
        again = run.resume().wait()
        assert (again.answer, server.calls) == ("7481", 3)
    assert is_whole(again, fleet_home)
    assert len(again.spans()) == len(again.tree.spans)
