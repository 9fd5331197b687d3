"""What the environment says of a deployment: every variable has its effect, and nonsense is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Config

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.auth import configure
from fleet_rlm.server.auth.deployment import Deployment

CLIENT, TENANT = "0d000000-0000-4000-8000-000000000001", "0d000000-0000-4000-8000-000000000002"
ENTRA = {"AUTH_MODE": "entra", "ENTRA_CLIENT_ID": CLIENT, "ENTRA_TENANTS": TENANT}


def test_without_any_variable_it_is_ones_own_machine() -> None:
    plain = Deployment.from_environ({})
    assert (plain.app_env, plain.auth_mode, plain.entra, plain.strict) == ("local", "jupyter", None, False)


def test_every_variable_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    read = Deployment.from_environ(
        {
            **ENTRA,
            "APP_ENV": "production",
            "PUBLIC_URL": "https://fleet.example.org/user/",
            "ALLOW_DEBUG_AUTH": "yes",
            "DATABASE_URL": "postgresql://db",
            "FLEET_SANDBOX": "process",
            "FLEET_SANDBOX_TIER": "confined+ns",
            "FLEET_HUB_TENANT": "campus",
            "JUPYTERHUB_USER": "ada",
            "ENTRA_TENANTS": f"{TENANT.upper()}, {CLIENT}",
            "ENTRA_AUDIENCES": "api://fleet,other",
            "ENTRA_SCOPE": "fleet",
            "ENTRA_AUTHORITY": "https://login.microsoftonline.us/",
            "ENTRA_ALLOW_APPS": "1",
            "ENTRA_ALLOW_GUESTS": "on",
            "ENTRA_ALLOWED_CLIENTS": TENANT,
            "ENTRA_CORE_ROLE": "Lab",
            "ENTRA_CLIENT_SECRET_FILE": str(secret),
        }
    )
    assert (read.app_env, read.strict, read.many_tenants, read.debug_identities) == ("production", True, True, True)
    assert (read.public_url, read.database_url) == ("https://fleet.example.org/user", "postgresql://db")
    assert (read.sandbox, read.sandbox_tier, read.hub_tenant, read.hub_owner) == (
        "process",
        "confined+ns",
        "campus",
        "ada",
    )
    entra = read.entra
    assert entra is not None
    assert (entra.client_id, entra.tenants, entra.audiences) == (CLIENT, {TENANT, CLIENT}, {"api://fleet", "other"})
    assert (entra.scope, entra.authority, entra.core_role) == ("fleet", "https://login.microsoftonline.us", "Lab")
    assert (entra.allow_apps, entra.allow_guests, entra.allowed_clients) == (True, True, {TENANT})
    assert entra.secret_file == secret


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("APP_ENV", "prod"),
        ("AUTH_MODE", "none"),
        ("ENTRA_CLIENT_ID", "my-app"),
        ("ENTRA_CLIENT_ID", ""),
        ("ENTRA_TENANTS", ""),
        ("ENTRA_TENANTS", "contoso.example"),
        ("ENTRA_TENANTS", f"*,{TENANT}"),
        ("ENTRA_ALLOWED_CLIENTS", "lab"),
        ("ENTRA_AUTHORITY", "http://login.example"),
        ("ENTRA_AUTHORITY", "https://login.example/tenant"),
        ("ENTRA_ALLOW_APPS", "maybe"),
        ("ENTRA_CLIENT_SECRET_FILE", "/nowhere/secret"),
        ("PUBLIC_URL", "fleet.example.org"),
        ("PUBLIC_URL", "https://fleet.example.org/?a=b"),
        ("FLEET_SANDBOX_TIER", "strong"),
        ("ALLOW_DEBUG_AUTH", "2"),
    ],
)
def test_nonsense_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(UserError, match=variable):
        Deployment.from_environ({**ENTRA, variable: value})


def test_auth_mode_entra_selects_provider_and_authorizer_together() -> None:
    chosen = Config()
    configure(chosen, Deployment.from_environ(ENTRA))
    assert chosen.ServerApp.identity_provider_class == "fleet_rlm.server.auth.provider.EntraIdentityProvider"
    assert chosen.ServerApp.authorizer_class == "fleet_rlm.server.auth.authorizer.EntraAuthorizer"
    assert chosen.ServerApp.allow_unauthenticated_access is False


def test_what_the_administrator_chose_stays_for_the_policy_to_judge() -> None:
    chosen = Config({"ServerApp": {"identity_provider_class": "theirs"}})
    configure(chosen, Deployment.from_environ(ENTRA))
    assert chosen.ServerApp.identity_provider_class == "theirs"


def test_auth_mode_jupyter_leaves_the_server_as_it_is() -> None:
    chosen = Config()
    configure(chosen, Deployment.from_environ({}))
    assert not chosen


def test_the_guide_names_every_variable() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "auth.md").read_text()
    source = (Path(__file__).parents[3] / "fleet_rlm/server/auth/deployment.py").read_text()
    variables = {word.strip(",:;.`") for word in source.split() if word.startswith(("ENTRA_", "FLEET_"))}
    missing = {
        name for name in variables | {"APP_ENV", "AUTH_MODE", "PUBLIC_URL", "ALLOW_DEBUG_AUTH"} if name not in guide
    }
    assert len(variables) > 10
    assert not missing
