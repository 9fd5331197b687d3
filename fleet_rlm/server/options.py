"""What stands after `--` of `fleet serve` and `fleet lab`: options of the Jupyter server, but none that says again, or
otherwise, what is said before it.

Jupyter takes an option that is given twice for a list, and complains of the list.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet_rlm.core.errors import UserError

OURS = {"ip": "--host", "port": "--port", "base_url": "--base-url"}
"""Options of the Jupyter server, and ours, which mean the same."""

FIXED = {
    "allow_unauthenticated_access": "routes without a sign-in stay closed",
    "jpserver_extensions": "which extensions are loaded is decided here",
    "reraise_server_extension_failures": "a server without the API does not start",
    "sock": "the API listens on a port",
    "sock_mode": "the API listens on a port",
}
"""Options that would make another server of it, and why not."""

TOKENS = ("IdentityProvider.token", "ServerApp.token")
_ALIASES = {"ip": "ip", "port": "port", "port-retries": "port_retries", "sock": "sock", "sock-mode": "sock_mode"}
_FLAGS = {"no-browser": "open_browser", "debug": "log_level"}


def merged(command: str, defaults: dict[str, object], options: Sequence[str]) -> list[str]:
    """The Jupyter server's command line: our defaults for `ServerApp`, then the options, which replace them.

    Args:
        command: as whoever reads the message wrote it.

    Raises:
        UserError: an option has one of ours in its place, cannot be chosen, or is said twice; the message says which.
    """
    given = [option[2:].partition("=")[0] for option in options if option.startswith("--")]
    if "token" in given:
        raise UserError("the Jupyter server has no --token: write -- --IdentityProvider.token=..., or leave it out")
    if len([one for one in given if one in TOKENS]) > 1:
        raise UserError("the token is given twice; give it once, as -- --IdentityProvider.token=...")
    replaced = set()
    for one in given:
        name = _ALIASES.get(one) or _FLAGS.get(one) or one.removeprefix("ServerApp.")
        if name in OURS:
            raise UserError(f"write {OURS[name]} before the --, as in {command} {OURS[name]} ..., in place of --{one}")
        if name in FIXED:
            raise UserError(f"{command} takes no --{one}: {FIXED[name]}; run jupyter server for another one")
        replaced.add(name)
    kept = [f"--ServerApp.{name}={value}" for name, value in defaults.items() if name not in replaced]
    return [*kept, *options]
