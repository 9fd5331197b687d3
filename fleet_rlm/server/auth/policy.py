"""What staging and production do not start with: each unsafe setting by name, why, and what to set instead.

On one's own machine (APP_ENV=local) the same settings are one's own business, except that settings which contradict
each other start nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jupyter_server.auth import AllowAllAuthorizer, IdentityProvider

from fleet_rlm.server.auth.deployment import Deployment

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

OVERRIDES = frozenset(
    {
        *("disable_check_xsrf", "xsrf_cookies", "allow_unauthenticated_access", "allow_remote_access"),
        *("identity_provider", "authorizer", "cookie_secret", "authenticate_prometheus", "nbconvert_csp_sandbox"),
        *("debug", "serve_traceback"),
    }
)
"""Of tornado's settings: those that the server fills from its own, and an administrator's word would replace unseen;
and those that answer a fault with the code it lies in."""

COOKIE_SECRET_BYTES = 32

STRANGERS = ("https://stranger.example", "http://other.invalid:8080", "null")
"""Origins nobody named; `null` is that of any page in a frame without one."""


@dataclass(frozen=True)
class Unsafe:
    """A setting, why the server does not start with it, and the way out."""

    setting: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.why}; {self.instead}"


def enforce(app: ServerApp, deployment: Deployment | None = None) -> None:
    """Stop the whole server, not only an extension, if this deployment must not run as it is set up.

    Raises:
        SystemExit: with every unsafe setting.
    """
    if deployment is None:
        deployment = getattr(app.identity_provider, "deployment", None) or Deployment.from_environ()
    contradictions = list(_contradictions(app, deployment))
    found = contradictions + (unsafe_settings(app, deployment) if deployment.strict else [])
    if found:
        _stop(app, deployment, found)


def unsafe_settings(app: ServerApp, deployment: Deployment, environ: Mapping[str, str] | None = None) -> list[Unsafe]:
    """Everything about this server that must not be in staging or production."""
    given = os.environ if environ is None else environ
    return [
        *_signing_in(app, deployment, given),
        *_cookies(app),
        *_pages(app),
        *_machine(app),
        *_surroundings(deployment),
    ]


def _contradictions(app: ServerApp, deployment: Deployment) -> Iterator[Unsafe]:
    from fleet_rlm.server.auth.provider import EntraIdentityProvider  # which asks this file when the server starts

    provider = app.identity_provider
    if deployment.auth_mode == "entra" and not isinstance(provider, EntraIdentityProvider):
        yield Unsafe(
            "AUTH_MODE=entra",
            f"the server signs people in by {type(provider).__name__}",
            "remove ServerApp.identity_provider_class, or set it to "
            "fleet_rlm.server.auth.provider.EntraIdentityProvider",
        )
    elif deployment.auth_mode == "entra" and provider.token:
        yield Unsafe("IdentityProvider.token", "the server's own token lets nobody in beside Entra", "remove it")


def _signing_in(app: ServerApp, deployment: Deployment, given: Mapping[str, str]) -> Iterator[Unsafe]:
    provider = app.identity_provider
    entra = "set AUTH_MODE=entra, run it under JupyterHub, or set a password and IdentityProvider.token=''"
    hub = hasattr(provider, "hub_auth")
    if not provider.auth_enabled:
        yield Unsafe("IdentityProvider.token=''", "anybody who reaches the server may run code", entra)
    elif not hub and type(provider).get_token is IdentityProvider.get_token and provider.token:
        yield Unsafe("IdentityProvider.token", "it is accepted in URLs, which proxies and browsers log", entra)
    if hub and given.get("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "0") not in ("", "0"):
        yield Unsafe("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "URLs are logged by proxies and browsers", "unset it")
    if given.get("JUPYTER_TOKEN"):
        yield Unsafe("JUPYTER_TOKEN", "kernels inherit it, and with them generated code", "unset it")
    if deployment.debug_identities:
        yield Unsafe("ALLOW_DEBUG_AUTH", "callers could say who they are", "unset it")
    if app.allow_unauthenticated_access:
        yield Unsafe(
            "ServerApp.allow_unauthenticated_access",
            "routes that forgot to ask would be open to all",
            "set it to False",
        )
    if deployment.entra is not None and isinstance(app.authorizer, AllowAllAuthorizer):
        yield Unsafe(
            "ServerApp.authorizer_class",
            "whoever signs in would have files, kernels and terminals",
            "set it to fleet_rlm.server.auth.authorizer.EntraAuthorizer",
        )


def _cookies(app: ServerApp) -> Iterator[Unsafe]:
    if len(app.cookie_secret) < COOKIE_SECRET_BYTES:
        yield Unsafe(
            "ServerApp.cookie_secret",
            "who guesses it signs cookies of their own",
            f"remove it, or have at least {COOKIE_SECRET_BYTES} random bytes",
        )
    provider = app.identity_provider
    if hasattr(provider, "hub_auth") or type(provider).set_login_cookie is not IdentityProvider.set_login_cookie:
        return  # they keep browsers signed in by cookies of their own
    seen = provider.secure_cookie or (provider.secure_cookie is None and (app.certfile or app.trust_xheaders))
    if not seen:
        yield Unsafe(
            "IdentityProvider.secure_cookie",
            "the sign-in cookie would go over unencrypted connections too",
            "set it to True",
        )
    for name in ("httponly", "secure"):
        if not provider.cookie_options.get(name, True):
            yield Unsafe(
                f"IdentityProvider.cookie_options: {name}", "it lets the sign-in cookie be read by others", "remove it"
            )


def _pages(app: ServerApp) -> Iterator[Unsafe]:
    named = "name the origins that may call"
    if app.allow_origin in ("*", "null"):
        yield Unsafe(
            f"ServerApp.allow_origin={app.allow_origin!r}", "any page could act for whoever looks at it", named
        )
    if app.allow_origin_pat and any(re.match(app.allow_origin_pat, stranger) for stranger in STRANGERS):
        yield Unsafe("ServerApp.allow_origin_pat", "it matches any origin", named)
    if app.disable_check_xsrf:
        yield Unsafe("ServerApp.disable_check_xsrf", "any page could act for whoever looks at it", "set it to False")
    if not app.nbconvert_csp_sandbox:
        yield Unsafe(
            "ServerApp.nbconvert_csp_sandbox", "a rendered notebook could act for whoever looks at it", "set it to True"
        )
    behind = sorted(OVERRIDES & app.tornado_settings.keys())
    headers = app.tornado_settings.get("headers", {})
    if not app.allow_origin_pat:  # else the server puts it there itself
        behind += [name for name in app.tornado_settings if name == "allow_origin_pat"]
    behind += [f"headers[{name!r}]" for name in headers if name.lower() == "access-control-allow-origin"]
    for name in behind:
        yield Unsafe(
            f"ServerApp.tornado_settings: {name}", "it goes before the setting that is checked here", "remove it"
        )


def _machine(app: ServerApp) -> Iterator[Unsafe]:
    if app.allow_root:
        yield Unsafe(
            "ServerApp.allow_root",
            "whoever has a kernel, and whatever leaves a sandbox, would be root",
            "remove it, and start the server as another user",
        )
    if not app.authenticate_prometheus:
        yield Unsafe(
            "ServerApp.authenticate_prometheus",
            "anybody could read how much is used here",
            "set it to True, and give what collects the metrics a sign-in",
        )
    if app.config.Session.get("key", b"new") in ("", b""):
        yield Unsafe("Session.key", "any account of this machine could run code in kernels", "remove it")


def _surroundings(deployment: Deployment) -> Iterator[Unsafe]:
    if not (deployment.public_url or "").startswith("https://"):
        yield Unsafe(
            "PUBLIC_URL",
            "tokens and cookies may only travel encrypted",
            "set it to the https address people use, base URL included",
        )
    if deployment.entra is not None and not deployment.entra.authority.startswith("https://"):
        yield Unsafe("ENTRA_AUTHORITY", "keys fetched without encryption can be anybody's", "use https")
    if deployment.sandbox == "process":
        yield Unsafe("FLEET_SANDBOX=process", "generated code could do all the server can", "unset it")
    if deployment.sandbox == "local" and deployment.entra is not None and deployment.sandbox_tier is None:
        yield Unsafe(
            "FLEET_SANDBOX=local",
            "several people's generated code would share this machine's kernel",
            "use a remote sandbox, or accept it by naming the tier: FLEET_SANDBOX_TIER=confined+ns",
        )
    if deployment.many_tenants and not (deployment.database_url or "").startswith("postgres"):
        yield Unsafe(
            "DATABASE_URL",
            "only Postgres keeps several organisations' rows apart",
            "set it to a postgresql:// address, or admit one tenant in ENTRA_TENANTS",
        )


def _stop(app: ServerApp, deployment: Deployment, found: list[Unsafe]) -> NoReturn:
    for one in found:
        app.log.critical("%s", one)
    lines = "".join(f"\n  {one}" for one in found)
    raise SystemExit(f"APP_ENV={deployment.app_env} does not start with:{lines}")
