"""FleetApp: the extension as the Jupyter server loads it; installing the wheel enables it.

Loading checks before it serves: a deployment that must not run as it is set up stops the server, a route that forgot to
say who may use it is not loaded. What takes long to import is imported when it is first needed.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import os
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Dict, Float, Int, Unicode

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.auth import check_routes, configure, enforce
from fleet_rlm.server.auth.authorizer import DENIED
from fleet_rlm.server.auth.failures import FAILURES, Failures
from fleet_rlm.server.auth.keys import KeyCache
from fleet_rlm.server.auth.selfcheck import is_open
from fleet_rlm.server.base import HOUSE
from fleet_rlm.server.routes import NOWHERE, PUBLIC, ROUTES
from fleet_rlm.server.services.allowances import METRICS
from fleet_rlm.server.services.house import House, Limits
from fleet_rlm.server.services.kernels.service import Rules
from fleet_rlm.server.services.rates import CLASSES
from fleet_rlm.server.telling import tell_outside


class FleetApp(ExtensionApp):
    """Runs of fleet-rlm over REST and WebSockets, below `{base_url}fleet`."""

    name = "fleet_rlm"
    load_other_extensions = True

    kernel_name = Unicode(Rules.kernel_name, help="The kernelspec in which sessions of the server run.").tag(
        config=True
    )
    max_kernels = Int(Rules.most, min=1, help="Kernels of its own that the server starts at most.").tag(config=True)
    max_kernels_per_user = Int(Rules.most_of_one, min=1, help="The same, for one user.").tag(config=True)
    kernel_idle_s = Float(
        Rules.idle_s, min=0, help="Seconds after its last question at which a session's kernel ends; 0 keeps it."
    ).tag(config=True)
    run_lm_calls = Int(
        None, allow_none=True, min=1, help="Model calls one run may make through the gateway, whatever it asks for."
    ).tag(config=True)
    run_lm_tokens = Int(None, allow_none=True, min=1, help="Tokens one run may use through the gateway.").tag(
        config=True
    )

    slow_client_s = Float(10, min=1, help="Seconds a WebSocket may take nothing before it is closed with 1013.").tag(
        config=True
    )

    max_sockets_per_user = Int(
        Limits.sockets, min=1, help="WebSockets one user may have open; another is refused with 429."
    ).tag(config=True)

    volume_bytes = Int(Limits.volume_bytes, min=1, help="Bytes that uploads may fill a volume up to.").tag(config=True)
    volume_files = Int(Limits.volume_files, min=1, help="The same for the number of files.").tag(config=True)

    tenant_quotas = Dict(
        value_trait=Float(),
        help=f"What one tenant may use, by quota ({', '.join(METRICS)}); the store's settings go before these.",
    ).tag(config=True)
    user_quotas = Dict(value_trait=Float(), help="The same for one user.").tag(config=True)
    rates = Dict(value_trait=Float(), help=f"Requests a minute of one user, by class ({', '.join(CLASSES)}).").tag(
        config=True
    )

    failed_sign_ins = Float(
        30, min=0, help="Sign-ins a minute that may fail from one address, and of one account; 0 is no limit."
    ).tag(config=True)

    house: House

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        super()._link_jupyter_server_extension(serverapp)
        chosen = copy.deepcopy(serverapp.config)  # what an administrator wrote there stays, and is judged by `enforce`
        try:
            configure(chosen)
        except UserError as error:  # the server would go on without us, and without the sign-in that was asked for
            raise SystemExit(f"fleet: {error}") from None
        serverapp.update_config(chosen)

    def initialize_settings(self) -> None:
        """Check the deployment, also where services cannot be made, then make them.

        Raises:
            SystemExit: the deployment is unsafe.
        """
        assert self.serverapp is not None
        enforce(self.serverapp)
        rules = Rules(
            kernel_name=self.kernel_name,
            most=self.max_kernels,
            most_of_one=self.max_kernels_per_user,
            idle_s=self.kernel_idle_s,
            closed=_secret_places(self.serverapp),
        )
        limits = Limits(
            rules=rules,
            lm_calls=self.run_lm_calls,
            lm_tokens=self.run_lm_tokens,
            slow_client_s=self.slow_client_s,
            sockets=self.max_sockets_per_user,
            volume_bytes=self.volume_bytes,
            volume_files=self.volume_files,
            tenant_quotas=self.tenant_quotas,
            user_quotas=self.user_quotas,
            rates=self.rates,
        )
        self.house = House(self.serverapp.kernel_manager, limits)
        self.settings[HOUSE] = self.house
        self.settings[DENIED] = self.house.audit.denied
        if self.failed_sign_ins:
            self.settings[FAILURES] = Failures(self.failed_sign_ins, self.house.audit.sign_in)
        tell_outside(self.serverapp, self.house)

    def initialize_handlers(self) -> None:
        """Check the routes, then serve them.

        Raises:
            UnguardedRoutes: a route would let anybody in.
        """
        assert self.serverapp is not None
        pages = [page for page in self.serverapp.identity_provider.get_handlers() if page[0].startswith("/fleet/")]
        check_routes([*ROUTES, *(page for page in pages if not is_open(page[1])), *NOWHERE], PUBLIC)
        self.handlers.extend([*ROUTES, *pages, *NOWHERE])  # ours come before the server's, and would hide its pages

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """The server listens, so its address is known; the store is loaded while nobody waits for it yet."""
        self.house.gateway.address = _loopback(serverapp) + "fleet/api/v1/lm"
        if (keys := _signing_keys(serverapp)) is not None:
            keys.start()
        await asyncio.to_thread(importlib.import_module, "fleet_rlm.sessions.store")

    async def stop_extension(self) -> None:
        """Let runs save what they have, end our kernels, and write what they told."""
        if self.serverapp is not None and (keys := _signing_keys(self.serverapp)) is not None:
            await keys.close()
        if hasattr(self, "house"):
            await self.house.close()


def _signing_keys(serverapp: ServerApp) -> KeyCache | None:
    """Of the issuer whose tokens the server takes, where it is Entra."""
    keys = getattr(serverapp.identity_provider, "keys", None)
    return keys if isinstance(keys, KeyCache) else None


def _secret_places(serverapp: ServerApp) -> tuple[Path, ...]:
    """Where the server's own secrets lie: tokens, keys of kernels and cookies, of its certificate and its sign-in."""
    files = (serverapp.cookie_secret_file, serverapp.keyfile, os.environ.get("ENTRA_CLIENT_SECRET_FILE"))
    return tuple(Path(one) for one in (serverapp.runtime_dir, serverapp.config_dir, *files) if one)


def _loopback(serverapp: ServerApp) -> str:
    """Where kernels on this machine reach the server."""
    host = "127.0.0.1" if serverapp.ip in ("", "*", "0.0.0.0", "::", "localhost") else serverapp.ip
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if serverapp.certfile else "http"
    return f"{scheme}://{host}:{serverapp.port}{serverapp.base_url}"


main = launch_new_instance = FleetApp.launch_instance
