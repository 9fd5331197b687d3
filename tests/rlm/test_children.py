"""The span of a child says how its sandbox came to have its variables, and what it lacks."""

from __future__ import annotations

import dspy

from fleet_rlm.core.budget import Budget
from fleet_rlm.core.events import SpanEnd
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import run_sync
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.sandbox.local import LocalSandbox
from tests.twins.lm_server import LMServer
from tests.twins.scripts import by_role, rlm_action

THREAD = "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()"


def attributes_of_a_child(sandbox: LocalSandbox) -> dict[str, object]:
    log = RunLog("r")
    with LMServer(by_role(rlm_action=rlm_action("count", "SUBMIT(answer=len(data))"))) as server:
        lm = dspy.LM("openai/m", api_base=server.base_url, api_key="none", cache=False)
        scope = Scope.create(log, Budget(), lm, lm)

        async def answered() -> str:
            with scope.active():
                return str((await answer_in(scope, sandbox.afork, "How long?", ["data"], "rlm")).answer)

        assert run_sync(answered()) == "3"
    return next(event.attrs for event in reversed(log.events_since(0)) if isinstance(event, SpanEnd))


def test_a_child_between_cells_is_a_fork() -> None:
    with LocalSandbox() as sandbox:
        sandbox.put("data", "abc")
        assert attributes_of_a_child(sandbox) == {"started_by": "fork"}


def test_a_child_is_spawned_beside_threads_and_its_lost_variables_are_listed() -> None:
    with LocalSandbox() as sandbox:
        sandbox.put("data", "abc")
        sandbox.run(THREAD)
        assert attributes_of_a_child(sandbox) == {"started_by": "spawn", "dropped": ["stop"]}
