"""Kernels that die, are restarted, are culled, or were there before: what becomes of the runs in them."""

from __future__ import annotations

import os
import select
import signal

from tests.server.services.conftest import Model
from tests.server.serving import Serving

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}


def test_a_run_whose_kernel_was_killed_is_cut_and_goes_on_in_another(server: Serving, model: Model) -> None:
    gate = model.gate("fragile")
    with server.drive() as talk:
        run = talk.ask("A fragile question", session_id="kernels", execution_mode="direct")["run"]
        talk.until_event("span.start", type="llm")
        asked = model.asked("fragile")
        os.kill(server.kernel_of("kernels"), signal.SIGKILL)
        ended = talk.until("ended")
        assert ended["status"] == "cut"
        assert server.get(f"runs/{run}")["status"] == "cut"
        gate.open()
        resumed = server.post(f"runs/{run}/resume", 200)
        assert resumed["next"] == ended["next"] == len(talk.numbers)
    with server.watch(f"run={run}&since={resumed['next']}") as later:
        assert later.until("ended")["status"] == "ok"
    numbers = talk.numbers + later.numbers
    assert numbers == list(range(len(numbers)))
    assert later.events[0]["kind"] == "run.resume" or "run.resume" in {event["kind"] for event in later.events}
    told = server.get(f"runs/{run}")
    assert (told["status"], told["answer"], told["next"]) == ("ok", "forty-two", len(numbers))
    assert model.asked("fragile") == asked + 1


def test_a_session_answers_again_after_its_kernel_was_restarted_from_outside(server: Serving) -> None:
    with server.drive() as talk:
        talk.ask("Before", session_id="kernels", execution_mode="direct")
        talk.until("ended")
        kernel = server.kernel_id_of("kernels")
        server.client.post(f"{server.origin}/api/kernels/{kernel}/restart").raise_for_status()
        server.until_kernel_is_gone(kernel)
        talk.ask("After", session_id="kernels", execution_mode="direct")
        assert talk.until("ended")["status"] == "ok"


def test_a_question_right_after_the_kernel_was_killed_is_answered_by_another(server: Serving) -> None:
    with server.drive() as talk:
        talk.ask("Before", session_id="kernels", execution_mode="direct")
        talk.until("ended")
        process = os.pidfd_open(server.kernel_of("kernels"))
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [])  # until it has ended
        os.close(process)
        talk.ask("At once", session_id="kernels", execution_mode="direct")
        assert talk.until("ended")["status"] == "ok"


def test_the_end_of_a_session_leaves_the_others_in_its_kernel_alone(server: Serving, model: Model) -> None:
    gate = model.gate("go on beside")
    server.finished(server.post("runs", message="First", session="host", mode="direct")["run"])
    kernel = server.kernel_id_of("host")
    asked = {"session": "guest", "kernel_id": kernel, "mode": "direct"}
    run = server.post("runs", message="go on beside", **asked)["run"]
    server.client.delete(f"{server.base}sessions/host").raise_for_status()
    gate.open()
    assert server.finished(run)["status"] == "ok"
    elsewhere = server.post("runs", message="Again", session="host", mode="direct")  # it was closed in that kernel
    assert server.finished(elsewhere["run"])["status"] == "ok"
    assert server.kernel_id_of("host") != kernel
    for session in ("host", "guest"):
        server.client.delete(f"{server.base}sessions/{session}").raise_for_status()
    assert kernel not in {one["id"] for one in server.kernels()}


def test_a_notebooks_kernel_answers_where_it_is_named_and_stays(server: Serving) -> None:
    kernel = server.client.post(f"{server.origin}/api/kernels", json={}).json()["id"]
    started = server.post(
        "runs", message="Here?", session="attached", kernel_id=kernel, mode="direct", model="fleet/offline"
    )
    assert server.finished(started["run"])["offline"]
    beside = server.post(
        "runs", message="And?", session="in the same", kernel_id=kernel, mode="direct", model="fleet/offline"
    )
    assert server.finished(beside["run"])["session"] == beside["session"] != started["session"]
    server.post("runs", 409, message="There?", session="attached", kernel_id="another-kernel")
    server.post("runs", 404, message="There?", session="nowhere", kernel_id="another-kernel")
    server.post("runs", 404, headers=ADA, message="Mine?", session="attached", kernel_id=kernel)
    server.client.delete(f"{server.origin}/api/kernels/{kernel}").raise_for_status()


def test_a_notebooks_kernel_answers_while_its_cell_runs(server: Serving) -> None:
    """Requests go over the control channel, so a cell that blocks does not keep them."""
    kernel = server.client.post(f"{server.origin}/api/kernels", json={}).json()["id"]
    asked = {"session": "beside", "kernel_id": kernel, "mode": "direct", "model": "fleet/offline"}
    server.finished(server.post("runs", message="One", **asked)["run"])
    with server.executing(kernel, "import time\ntime.sleep(60)"):
        assert server.finished(server.post("runs", message="Two", **asked)["run"])["status"] == "ok"
    server.client.delete(f"{server.origin}/api/kernels/{kernel}").raise_for_status()
