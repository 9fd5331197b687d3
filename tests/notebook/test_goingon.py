"""`%fleet resume`, `branch` and `diff` in real kernels: a kernel is killed in mid-run, and another goes on."""

from __future__ import annotations

from pathlib import Path

from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer, by_role, react_step, rlm_action

from .live_kernel import Kernel

COUNT = "found = [len(llm_query(f'part {i}')) for i in range(3)]\nprint(found)"
ASK = "log = 'error\\n' * 20_000\n"
CELL = "%%fleet --with log -o total\nHow many errors are there?"


def script(gate: Gate) -> LMServer:
    return LMServer(
        by_role(
            react_step=[react_step("look", "delegate_to_rlm", query="count them"), react_step("done", "finish")],
            react_extract=answer(reasoning="counted", answer="20000"),
            rlm_action=[
                rlm_action("ask", COUNT),
                Reply(rlm_action("count", "print(sum(found))"), gate=gate),
                rlm_action("submit", "SUBMIT(answer=str(sum(found)))"),
            ],
            bare="yes",
        )
    )


def test_a_run_whose_kernel_was_killed_goes_on_in_another(tmp_path: Path) -> None:
    gate = Gate()
    with script(gate) as server:
        environ = {"FLEET_LM": f"test@{server.base_url}"}
        with Kernel(tmp_path, environ) as kernel:
            kernel.run(ASK)
            cell = kernel.begin(CELL)
            kernel.until_widget(cell)
            server.wait_for(6)  # one decision, one cell, three sub-queries, and the next cell is being asked for
            kernel.manager.signal_kernel(9)
        gate.open()
        with Kernel(tmp_path, environ) as kernel:
            listed = kernel.run("%fleet runs").printed
            run = listed.split("the latest first: ")[1].strip()
            cell = kernel.run(f"%fleet resume {run[:20]} -o total")
            assert cell.succeeded, cell.error
            assert (len(cell.widgets), len(cell.static)) == (1, 1)
            assert kernel.value("_run.status, total, _run.id") == f"('ok', '20000', '{run}')"
        prompts = [str(request.body) for request in server.requests]
        assert sum(prompts.count(prompt) - 1 for prompt in set(prompts)) == 1  # the one in flight at the kill


def test_a_run_is_branched_and_compared_from_the_notebook(tmp_path: Path) -> None:
    gate = Gate()
    gate.open()
    with script(gate) as server, Kernel(tmp_path, {"FLEET_LM": f"test@{server.base_url}"}) as kernel:
        kernel.run(ASK)
        assert kernel.run(CELL).succeeded
        kernel.run("first = _run")
        span = kernel.value("[s.id for s in first.tree.spans.values() if s.name == 'answer'][0]").strip("'")
        branched = kernel.run(f"%fleet branch first {span} --reply 'none at all' -o total")
        assert branched.succeeded
        assert kernel.value("total") == "'none at all'"
        calls = server.calls
        assert kernel.value("_run.tree.start.parent_run == first.id, _run.usage.llm_calls") == "(True, 0)"
        (shown,) = kernel.run("%fleet diff first _run").displays
        told = shown["text/plain"]
        assert "here they part" in told
        assert "none at all" in shown["text/html"]
        assert f"branched off {kernel.value('first.id')[1:-1]} at {span}" in told
        assert server.calls == calls


def test_what_cannot_be_gone_on_with_is_one_sentence(tmp_path: Path) -> None:
    gate = Gate()
    gate.open()
    with script(gate) as server, Kernel(tmp_path, {"FLEET_LM": f"test@{server.base_url}"}) as kernel:
        kernel.run(ASK)
        assert kernel.run(CELL).succeeded
        assert "the run has its answer; run.branch" in kernel.run("%fleet resume").complained
        assert "has no span 's999'" in kernel.run("%fleet branch _run s999 --reply 4").complained
        assert "is a span of type 'turn' and has no code" in kernel.run("%fleet branch _run s1 --code pass").complained
