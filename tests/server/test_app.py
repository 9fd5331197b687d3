"""The extension as a whole: enabled, light to load, checked before it serves, and survived by what it was asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_rlm.server.auth import check_routes
from fleet_rlm.server.routes import PUBLIC, ROUTES
from tests.server.serving import ROOT, Serving
from tests.server.tenants.world import Deployed
from tests.twins.entra_issuer import EntraIssuer, new_guid
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import answer


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_loading_the_extension_imports_nothing_heavy_and_nothing_of_kernels() -> None:
    code = "import sys, fleet_rlm; fleet_rlm._jupyter_server_extension_points(); print(*sys.modules)"
    loaded = set(in_a_fresh_process(code).split())
    heavy = {"dspy", "pandas", "litellm", "sqlalchemy", "pyarrow"}
    assert not heavy & loaded
    assert not {
        name for name in loaded if name.startswith(("fleet_rlm.server.kernel", "fleet_rlm.agent", "fleet_rlm.rlm"))
    }


def test_the_whole_server_process_never_imports_what_runs_in_kernels() -> None:
    """Neither does any module of the server's room, but those that are for kernels."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "fleet_rlm" / "server").rglob("*.py"))
        if "kernel" not in path.relative_to(ROOT).parts
    ]
    code = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = in_a_fresh_process(code).split()
    assert not [name for name in loaded if name.startswith(("fleet_rlm.agent", "fleet_rlm.server.kernel", "dspy"))]


def test_the_wheels_configuration_enables_the_extension(tmp_path: Path) -> None:
    source = ROOT / "labextension" / "jupyter-config" / "server-config" / "fleet_rlm.json"
    place = tmp_path / "jupyter_server_config.d"
    place.mkdir()
    (place / source.name).write_text(source.read_text())
    environ = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)
    assert "fleet_rlm enabled" in told
    assert re.search(r"fleet_rlm \S+ OK", told)


def test_every_route_says_who_may_use_it() -> None:
    asked = check_routes(ROUTES, PUBLIC)
    assert {pattern for (pattern, _), permission in asked.items() if permission is None} == set(PUBLIC)


def test_a_page_of_the_sign_in_that_lets_anybody_in_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "leak.py").write_text(
        "from jupyter_server.auth.identity import IdentityProvider\nfrom tornado.web import RequestHandler\n"
        "class Leak(RequestHandler):\n    def get(self): self.write('secret')\n"
        "class Provider(IdentityProvider):\n    def get_handlers(self): return [('/fleet/leak', Leak)]\n"
    )
    options = [
        "--ServerApp.identity_provider_class=leak.Provider",
        "--ServerApp.reraise_server_extension_failures=True",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--port=0", *options],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "FLEET_HOME": str(tmp_path / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "/fleet/leak: Leak is neither FleetHandler nor FleetSocket" in done.stderr


def test_a_server_that_crashed_goes_on_with_what_was_cut(tmp_path: Path) -> None:
    gate = Gate()
    with LMServer(lambda *_: Reply(answer(answer="survived"), gate=gate)) as twin:
        with Serving(tmp_path, FLEET_LM=f"m@{twin.base_url}") as server:
            with server.drive() as talk:
                run = talk.ask("Will it survive?", session_id="lasting", execution_mode="direct")["run"]
                talk.until_event("span.start", type="llm")
                twin.wait_for(1)
                kernel = server.kernel_of("lasting")
                server.kill()
            server.until_gone(kernel)
            gate.open()
            server.start()
            assert server.get(f"runs/{run}")["status"] == "cut"
            assert server.get("runs", session="lasting")["total"] == 1
            resumed = server.post(f"runs/{run}/resume", 200)
            with server.watch(f"run={run}&since={resumed['next']}") as later:
                assert later.until("ended")["status"] == "ok"
            assert later.numbers[0] == len(talk.numbers) == resumed["next"]
            assert server.get(f"runs/{run}")["answer"] == "survived"
            kernel = server.kernel_of("lasting")
            server.stop()
            assert not Path(f"/proc/{kernel}").exists(), "stopping ends the kernels it owns"
            server.start()
            assert server.get(f"runs/{run}")["status"] == "ok"
            with server.watch(f"run={run}") as talk:
                talk.until("ended")
            assert talk.numbers == list(range(later.numbers[-1] + 1))


def test_a_model_without_its_key_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"openai/gpt-4\.1 needs a key: set OPENAI_API_KEY"):
        Serving(tmp_path, FLEET_LM="openai/gpt-4.1").start()


def test_an_unsafe_deployment_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="APP_ENV=production does not start with"):
        Serving(tmp_path, APP_ENV="production", FLEET_LM="fleet/offline").start()


class Unasked(Deployed):
    """Shown nothing while it starts."""

    probe = "/fleet/health"


def test_signing_keys_are_there_before_anybody_signs_in_and_their_timer_ends_with_the_server(tmp_path: Path) -> None:
    with EntraIssuer() as issuer:
        issuer.add_key()
        entra = {
            "AUTH_MODE": "entra",
            "ENTRA_CLIENT_ID": new_guid(),
            "ENTRA_TENANTS": issuer.home,
            "ENTRA_AUTHORITY": issuer.base,
        }
        server = Unasked(tmp_path, {}, "", **entra)
        del server.client.headers["Authorization"]
        with server:
            issuer.wait_for_key_fetches(1)
        assert "Task was destroyed" not in server.log()
        assert "Traceback" not in server.log()
