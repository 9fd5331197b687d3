"""The server's culling of idle kernels, which counts messages and not model calls."""

from __future__ import annotations

from pathlib import Path

from tests.server.serving import Serving
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer


def test_a_run_that_is_silent_for_long_is_not_culled_where_idle_kernels_are(tmp_path: Path) -> None:
    gate = Gate()
    culling = {"MappingKernelManager.cull_idle_timeout": "2", "MappingKernelManager.cull_interval": "1"}
    with LMServer(lambda *_: Reply(answer(answer="at last"), gate=gate)) as twin:
        with Serving(tmp_path, culling, FLEET_LM=f"m@{twin.base_url}") as server:
            # A kernel that does nothing tells how far the culling has come.
            idle = server.client.post(f"{server.origin}/api/kernels", json={}).json()["id"]
            run = server.post("runs", message="Long", session="silent", mode="direct")["run"]
            twin.wait_for(1)
            server.until_culled(idle)
            later = server.client.post(f"{server.origin}/api/kernels", json={}).json()["id"]
            server.until_culled(later)
            assert server.get(f"runs/{run}")["status"] == "running"
            gate.open()
            assert server.finished(run)["status"] == "ok"
