"""A real Jupyter server in a process of its own, with a small extension of protected routes: what the tests attack.

`python -m tests.server.auth.running ARGUMENTS` starts it (the environment says how people sign in) and prints its
address on one line. `running` does that from a test and keeps everything the server logged.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from tornado import web
from tornado.websocket import WebSocketHandler

from fleet_rlm.server.auth import FleetHandler, FleetSocket, authorized, check_routes, configure, enforce
from fleet_rlm.server.base import HOUSE
from fleet_rlm.server.services.rates import Rates
from tests.stopping import stop

ROOT = Path(__file__).parents[3]
READY = "serving at "


class Whoever(FleetHandler):
    """Tells who asks; to be started, changed and looked at."""

    def who(self) -> None:
        self.finish(json.dumps({"tenant": self.identity.tenant, "user": self.identity.user}))


class Runs(Whoever):
    @authorized("read", "fleet.runs")
    async def get(self) -> None:
        self.who()

    @authorized("execute", "fleet.runs")
    def post(self) -> None:
        self.who()


class Settings(Whoever):
    @authorized("write", "fleet.runtime")
    def patch(self) -> None:
        self.who()


class Broken(Whoever):
    @authorized("read", "fleet.runs")
    def get(self) -> None:
        raise ZeroDivisionError("a fault of ours")


class Health(FleetHandler):
    @allow_unauthenticated
    def get(self) -> None:
        self.finish("{}")


class Drive(FleetSocket):
    @authorized("execute", "fleet.runs")
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await super().get(*args, **kwargs)

    def open(self) -> None:  # type: ignore[override]
        super().open()
        self.write_message(self.identity.user)

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


class Watch(Drive):
    @authorized("read", "fleet.runs")
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await FleetSocket.get(self, *args, **kwargs)


class Careless(JupyterHandler):
    """Of some other extension: asks for a sign-in and for no permission."""

    @web.authenticated
    def get(self) -> None:
        self.finish("secret")

    @web.authenticated
    def post(self) -> None:
        self.finish("done")


class CarelessSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await super().get(*args, **kwargs)

    def open(self) -> None:  # type: ignore[override]
        super().open()
        self.write_message("hello")

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


OTHERS = [(r"/other/page", Careless), (r"/other/socket", CarelessSocket)]
ROUTES = [
    (r"/fleet/health", Health),
    (r"/fleet/api/v1/runs", Runs),
    (r"/fleet/api/v1/broken", Broken),
    (r"/fleet/api/v1/runtime/settings", Settings),
    (r"/fleet/api/v1/ws/execution", Drive),
    (r"/fleet/api/v1/ws/execution/events", Watch),
]


class ProbeApp(ExtensionApp):
    """Set up as the real extension is: AUTH_MODE applied when linked, policy and routes checked when loaded."""

    name = "fleet_probe"

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        super()._link_jupyter_server_extension(serverapp)
        chosen = copy.deepcopy(serverapp.config)
        configure(chosen)
        serverapp.update_config(chosen)

    def initialize_settings(self) -> None:
        self.settings[HOUSE] = SimpleNamespace(rates=Rates({"execute": 100_000}))  # all that a ticket asks of it

    def initialize_handlers(self) -> None:
        enforce(self.serverapp)
        check_routes(ROUTES, public={r"/fleet/health"})
        self.handlers.extend([*ROUTES, *OTHERS])


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": __name__, "app": ProbeApp}]


@dataclass
class Running:
    """A server that runs. `base` has no slash at the end."""

    base: str
    log_file: Path
    process: subprocess.Popen[str]

    @property
    def websocket(self) -> str:
        """The address for WebSockets."""
        return self.base.replace("http", "ws", 1)

    @property
    def host(self) -> str:
        """Host and port."""
        return self.base.removeprefix("http://").partition("/")[0]

    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text()


def command(arguments: Sequence[str] = ()) -> list[str]:
    """How to start it."""
    return [sys.executable, "-m", "tests.server.auth.running", *arguments]


def environment(directory: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """What the server sees: a home of its own and these variables, none of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(directory),
        "FLEET_HOME": str(directory / "fleet"),
        "NO_PROXY": "127.0.0.1",
        **variables,
    }


@contextmanager
def running(directory: Path, variables: Mapping[str, str], arguments: Sequence[str] = ()) -> Iterator[Running]:
    """The server, until the block ends."""
    directory.mkdir(parents=True, exist_ok=True)
    log_file = directory / "server.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command(arguments),
            cwd=ROOT,
            env=environment(directory, variables),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(READY), log_file.read_text()
            yield Running(line.removeprefix(READY).strip().rstrip("/"), log_file, process)
        finally:
            stop(process)


def main() -> None:
    """Serve until terminated."""
    app = ServerApp.instance(
        open_browser=False,
        port=0,
        base_url="/user/ada/",
        log_level="DEBUG",
        root_dir=os.environ["HOME"],
        jpserver_extensions={__name__.replace("__main__", "tests.server.auth.running"): True},
        reraise_server_extension_failures=True,
    )
    app.initialize(argv=sys.argv[1:], find_extensions=False)
    app.allow_root = True  # the tests may be root's; the policy, which refuses it, has looked by now
    app.io_loop.add_callback(lambda: print(f"{READY}http://127.0.0.1:{app.port}{app.base_url}", flush=True))
    app.start()


if __name__ == "__main__":
    main()
