"""Starting a server of our own: on this machine only and with a token, unless somebody says otherwise and how.

`fleet serve` is the API alone, `fleet lab` JupyterLab with it. A server that others can reach starts only where it was
said how they sign in: a token that was made up here and printed is for the person in front of this terminal.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.address import check_address
from fleet_rlm.server.app import FleetApp
from fleet_rlm.server.auth.body import DROPPED_BYTES
from fleet_rlm.server.auth.deployment import LOOPBACK
from fleet_rlm.server.base import HOUSE
from fleet_rlm.server.front import Front
from fleet_rlm.server.options import merged

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

Kind = Literal["serve", "lab"]


class Api(FleetApp):
    """Our extension and no other."""

    load_other_extensions = False


def launch(kind: Kind, *, host: str, port: int, base_url: str = "/", options: Sequence[str] = ()) -> None:
    """Serve until stopped.

    Args:
        options: further options of the Jupyter server.

    Raises:
        UserError: it cannot be where it was said to be; others could reach it, and nobody said how they sign in; our
            extension was not loaded; or JupyterLab is missing, or it is root's and that was not allowed.
        SystemExit: the deployment is unsafe, or the address cannot be had; the message says why.
    """
    check_address(host, port, base_url)
    chosen: dict[str, object] = {
        "ip": host,
        "port": port,
        "port_retries": 0,
        "base_url": base_url,
        "allow_unauthenticated_access": False,
    }
    if kind == "serve":  # there is no other extension
        chosen |= {"open_browser": False, "log_level": "WARN", "reraise_server_extension_failures": True}
        chosen |= {"max_body_size": DROPPED_BYTES}
    else:  # enabled also where the wheel's configuration is not, as in a checkout
        chosen |= {"jpserver_extensions": {"jupyterlab": True, "fleet_rlm": True}}
    argv = merged(f"fleet {kind}", chosen, options)
    server: ServerApp = _application(kind).initialize_server(argv=argv)
    refused = refusal(server.ip, server.identity_provider)
    if refused is not None:
        raise UserError(refused)
    if HOUSE not in server.web_app.settings:
        raise UserError("the Jupyter server did not load the API; what it says above tells why")
    if os.geteuid() == 0 and not server.allow_root:
        raise UserError(
            "this is root, and whoever signs in runs code as root; start it as another user, or allow it: "
            f"fleet {kind} -- --allow-root"
        )
    server.http_server.request_callback = Front(server.web_app)
    server.io_loop.add_callback(print, greeting(kind, server), flush=True)  # after the one that has it listen
    heed(server)
    server.start()


def heed(server: ServerApp) -> None:
    """Stop in order at Ctrl-C and when told to end, or when the terminal is closed; at once when told again.

    From the loop, not from Jupyter's signal handlers. They log, and where one strikes while something else is being
    logged, it fails ("reentrant call") and the signal is lost. Ctrl-C they ask about in a terminal; without one it ends
    the server at once, and what its kernels told is not written.
    """
    loop: Any = server.io_loop
    ours = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [one for one in ours if signal.getsignal(one) is not signal.SIG_IGN]  # by nohup, say

    def stop() -> None:
        for one in ours:
            loop.asyncio_loop.remove_signal_handler(one)
        server.stop()

    with contextlib.suppress(NotImplementedError):  # Windows has no such signals; Jupyter's handlers stay there
        for one in ours:
            loop.asyncio_loop.add_signal_handler(one, stop)


def refusal(host: str, provider: Any) -> str | None:
    """Why a server must not be reachable at this address; None where it may."""
    if is_loopback(host):
        return None
    ways = "AUTH_MODE=entra, JupyterHub, or a password (jupyter server password)"
    if not (hasattr(provider, "keys") or hasattr(provider, "hub_auth") or provider.auth_enabled):
        return (
            f"--host {host} would let anybody who reaches this machine run code on it; say how people sign in: {ways}"
        )
    if provider.token_generated:
        return f"--host {host} can be reached by others, and nobody said how they sign in; choose one: {ways}"
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def greeting(kind: Kind, server: ServerApp) -> str:
    """Where the server is and how to use it."""
    host = f"[{server.ip}]" if ":" in server.ip else server.ip or "127.0.0.1"
    address = f"{'https' if server.certfile else 'http'}://{host}:{server.port}{server.base_url}"
    provider: Any = server.identity_provider
    if provider.token:
        shown = provider.token if provider.token_generated else "YOUR-TOKEN"
        header = f"Authorization: token {shown}"
    else:
        shown = "ACCESS-TOKEN"
        header = f"Authorization: Bearer {shown}"
    lines = [f"fleet-rlm: the API is at {address}fleet/ and described by {address}fleet/openapi.json"]
    if kind == "lab":
        lines.append(f"  JupyterLab   {address}lab" + (f"?token={shown}" if provider.token_generated else ""))
    lines += [
        f"  curl         curl -H '{header}' {address}fleet/api/v1/auth/me",
        f'  Python       fleet_rlm.client.Client("{address}", token="{shown}")',
        "  Ctrl-C stops it; runs that go on are kept and can be resumed",
    ]
    return "\n".join(lines)


def _application(kind: Kind) -> type[Any]:
    if kind == "serve":
        return Api
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        raise UserError("JupyterLab is not installed; pip install 'fleet-rlm[lab]'") from error
    lab: type[Any] = LabApp
    return lab
