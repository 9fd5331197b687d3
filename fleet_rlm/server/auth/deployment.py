"""What an administrator says of a deployment in the environment: where it stands, who signs in, and by which rules.

`Deployment.from_environ` reads every variable once and refuses what it cannot understand, by name. What is merely
unsafe is judged in `policy`. `configure` turns AUTH_MODE into the server's own two settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast, get_args
from urllib.parse import urlsplit

from fleet_rlm.core.errors import UserError

if TYPE_CHECKING:
    from traitlets.config import Config

AppEnv = Literal["local", "staging", "production"]
AuthMode = Literal["jupyter", "entra"]
Tier = Literal["confined", "confined+ns"]
Choice = TypeVar("Choice", bound=str)

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SELECTED = {
    "identity_provider_class": "fleet_rlm.server.auth.provider.EntraIdentityProvider",
    "authorizer_class": "fleet_rlm.server.auth.authorizer.EntraAuthorizer",
    "allow_unauthenticated_access": False,
}
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class Entra:
    """The API's registration in Entra ID and who may call it.

    Attributes:
        client_id: ENTRA_CLIENT_ID, the registration's application id.
        tenants: ENTRA_TENANTS, tenant ids separated by commas; None for `*`, where only the store's admission decides.
        audiences: ENTRA_AUDIENCES, accepted `aud` values; the client id by default.
        scope: ENTRA_SCOPE, the delegated permission a token must carry.
        authority: ENTRA_AUTHORITY, the issuer's origin, without a slash at the end.
        allow_apps: ENTRA_ALLOW_APPS, whether programs without a user may call; they need an app role and `idtyp`.
        allow_guests: ENTRA_ALLOW_GUESTS, whether guests of an admitted tenant may call.
        allowed_clients: ENTRA_ALLOWED_CLIENTS, client ids of the programs that may call; None for any.
        core_role: ENTRA_CORE_ROLE, the app role that opens the server's own resources: files, kernels, terminals.
        secret_file: ENTRA_CLIENT_SECRET_FILE, holds the secret for browser sign-in. A file and no variable, because
            kernels inherit the server's environment.
    """

    client_id: str
    tenants: frozenset[str] | None
    audiences: frozenset[str]
    scope: str = "access_as_user"
    authority: str = "https://login.microsoftonline.com"
    allow_apps: bool = False
    allow_guests: bool = False
    allowed_clients: frozenset[str] | None = None
    core_role: str = "Jupyter.Use"
    secret_file: Path | None = None

    @property
    def metadata_url(self) -> str:
        """Where the issuer describes itself: its only tenant's page, or the one of all organisations."""
        only = next(iter(self.tenants)) if self.tenants is not None and len(self.tenants) == 1 else "organizations"
        return f"{self.authority}/{only}/v2.0/.well-known/openid-configuration"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """How this server is meant to be run.

    Attributes:
        app_env: APP_ENV; staging and production refuse unsafe settings at start.
        auth_mode: AUTH_MODE; `jupyter` trusts whoever the server's identity provider names, `entra` selects ours.
        entra: the ENTRA_ variables; None unless AUTH_MODE is entra.
        public_url: PUBLIC_URL, the address people use, base URL included; also of the sign-in callback.
        debug_identities: ALLOW_DEBUG_AUTH, see `identity`; for APP_ENV=local and loopback only.
        database_url: DATABASE_URL; None for a file of our own.
        sandbox: FLEET_SANDBOX, the name of the default backend.
        sandbox_tier: FLEET_SANDBOX_TIER, the least local confinement the administrator accepts on a shared server.
        hub_tenant: FLEET_HUB_TENANT, the tenant of JupyterHub users whose auth_state names none.
        hub_owner: JUPYTERHUB_USER, set by JupyterHub: whose server this is.
    """

    app_env: AppEnv = "local"
    auth_mode: AuthMode = "jupyter"
    entra: Entra | None = None
    public_url: str | None = None
    debug_identities: bool = False
    database_url: str | None = None
    sandbox: str = "local"
    sandbox_tier: Tier | None = None
    hub_tenant: str = "hub"
    hub_owner: str | None = None

    @property
    def strict(self) -> bool:
        """Whether unsafe settings stop the start."""
        return self.app_env != "local"

    @property
    def many_tenants(self) -> bool:
        """Whether more than one organisation's data may come to lie here."""
        return self.entra is not None and (self.entra.tenants is None or len(self.entra.tenants) > 1)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Deployment:
        """The deployment an environment describes, the process's own by default.

        Raises:
            UserError: a variable is missing or cannot be used; the message names it.
        """
        given = os.environ if environ is None else environ
        auth_mode = _one_of(given, "AUTH_MODE", cast(tuple[AuthMode, ...], get_args(AuthMode)), "jupyter")
        return cls(
            app_env=_one_of(given, "APP_ENV", cast(tuple[AppEnv, ...], get_args(AppEnv)), "local"),
            auth_mode=auth_mode,
            entra=_entra(given) if auth_mode == "entra" else None,
            public_url=_url(given, "PUBLIC_URL"),
            debug_identities=_flag(given, "ALLOW_DEBUG_AUTH"),
            database_url=given.get("DATABASE_URL") or None,
            sandbox=given.get("FLEET_SANDBOX") or "local",
            sandbox_tier=(
                _one_of(given, "FLEET_SANDBOX_TIER", cast(tuple[Tier, ...], get_args(Tier)), "confined")
                if given.get("FLEET_SANDBOX_TIER")
                else None
            ),
            hub_tenant=given.get("FLEET_HUB_TENANT") or "hub",
            hub_owner=given.get("JUPYTERHUB_USER") or None,
        )


def configure(config: Config, deployment: Deployment | None = None) -> None:
    """Select our identity provider and authorizer in a Jupyter server's configuration where AUTH_MODE is entra.

    Call it before the server makes its identity provider: in a configuration file, or when an extension is linked.
    What the administrator set stays; `policy.enforce` refuses it where it contradicts AUTH_MODE.
    """
    deployment = Deployment.from_environ() if deployment is None else deployment
    if deployment.auth_mode != "entra":
        return
    for name, value in SELECTED.items():
        if name not in config.ServerApp:
            config.ServerApp[name] = value


def _entra(given: Mapping[str, str]) -> Entra:
    client_id = given.get("ENTRA_CLIENT_ID", "").strip().lower()
    if not GUID.fullmatch(client_id):
        raise UserError("AUTH_MODE=entra needs ENTRA_CLIENT_ID, the application id (a GUID) of the API's registration")
    tenants = _list(given, "ENTRA_TENANTS")
    if not tenants:
        raise UserError("AUTH_MODE=entra needs ENTRA_TENANTS: the admitted tenant ids, separated by commas, or *")
    if tenants != {"*"} and not all(GUID.fullmatch(tenant) for tenant in tenants):
        raise UserError("ENTRA_TENANTS must hold tenant ids (GUIDs) separated by commas, or * alone")
    clients = _list(given, "ENTRA_ALLOWED_CLIENTS")
    if clients and not all(GUID.fullmatch(client) for client in clients):
        raise UserError("ENTRA_ALLOWED_CLIENTS must hold client ids (GUIDs) separated by commas")
    authority = _url(given, "ENTRA_AUTHORITY") or Entra.authority
    parts = urlsplit(authority)
    if parts.path or parts.query or (parts.scheme != "https" and parts.hostname not in LOOPBACK):
        raise UserError(
            "ENTRA_AUTHORITY must be an https origin without a path, such as https://login.microsoftonline.us"
        )
    secret = given.get("ENTRA_CLIENT_SECRET_FILE")
    if secret and not Path(secret).is_file():
        raise UserError("ENTRA_CLIENT_SECRET_FILE names no file that can be read")
    return Entra(
        client_id=client_id,
        tenants=None if tenants == {"*"} else tenants,
        audiences=_list(given, "ENTRA_AUDIENCES", lower=False) or frozenset({client_id}),
        scope=given.get("ENTRA_SCOPE") or Entra.scope,
        authority=authority,
        allow_apps=_flag(given, "ENTRA_ALLOW_APPS"),
        allow_guests=_flag(given, "ENTRA_ALLOW_GUESTS"),
        allowed_clients=clients or None,
        core_role=given.get("ENTRA_CORE_ROLE") or Entra.core_role,
        secret_file=Path(secret) if secret else None,
    )


def _one_of(given: Mapping[str, str], name: str, choices: tuple[Choice, ...], default: Choice) -> Choice:
    value = given.get(name) or default
    for choice in choices:
        if value == choice:
            return choice
    raise UserError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _flag(given: Mapping[str, str], name: str) -> bool:
    value = given.get(name, "").lower()
    if value not in YES + NO:
        raise UserError(f"{name} must be true or false, not {value!r}")
    return value in YES


def _list(given: Mapping[str, str], name: str, *, lower: bool = True) -> frozenset[str]:
    text = given.get(name, "")
    return frozenset(item.strip() for item in (text.lower() if lower else text).split(",") if item.strip())


def _url(given: Mapping[str, str], name: str) -> str | None:
    value = given.get(name, "").rstrip("/")
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise UserError(f"{name} must be an address such as https://fleet.example.org, without a query")
    return value
