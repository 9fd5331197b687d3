"""Staging and production refuse each unsafe setting by name with the way out; a safe server starts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_server.auth import AllowAllAuthorizer
from jupyter_server.serverapp import ServerApp
from traitlets.config import Config

from fleet_rlm.server.auth.authorizer import EntraAuthorizer
from fleet_rlm.server.auth.deployment import SELECTED, Deployment, configure
from fleet_rlm.server.auth.policy import enforce, unsafe_settings
from tests.server.auth.running import ROOT, command, environment, running

CLIENT, TENANT = "0d000000-0000-4000-8000-000000000001", "0d000000-0000-4000-8000-000000000002"
SAFE = {
    "APP_ENV": "production",
    "AUTH_MODE": "entra",
    "ENTRA_CLIENT_ID": CLIENT,
    "ENTRA_TENANTS": TENANT,
    "PUBLIC_URL": "https://fleet.example.org",
    "FLEET_SANDBOX_TIER": "confined+ns",
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a real server for an environment and options, short of listening."""

    def make(variables: dict[str, str], **options: Any) -> tuple[ServerApp, Deployment]:
        for name, value in {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path), **variables}.items():
            monkeypatch.setenv(name, value)
        deployment = Deployment.from_environ(variables)
        chosen = Config()
        configure(chosen, deployment)
        for name, value in options.items():
            section, _, trait = name.rpartition("__")
            chosen[section or "ServerApp"][trait] = value
        app = ServerApp(config=chosen, root_dir=str(tmp_path))
        app.init_configurables()
        return app, deployment

    return make


def names(app: ServerApp, deployment: Deployment, environ: dict[str, str] | None = None) -> list[str]:
    return [one.setting for one in unsafe_settings(app, deployment, environ or {})]


def test_a_safe_entra_server_has_nothing_unsafe(server: Any) -> None:
    assert names(*server(SAFE)) == []


@pytest.mark.parametrize(
    ("setting", "variables", "options"),
    [
        ("ServerApp.allow_origin='*'", {}, {"allow_origin": "*"}),
        ("ServerApp.allow_origin='null'", {}, {"allow_origin": "null"}),
        ("ServerApp.allow_origin_pat", {}, {"allow_origin_pat": "https?://.*"}),
        ("ServerApp.allow_origin_pat", {}, {"allow_origin_pat": "https://fleet.example.org|null"}),
        ("ServerApp.disable_check_xsrf", {}, {"disable_check_xsrf": True}),
        ("ServerApp.allow_unauthenticated_access", {}, {"allow_unauthenticated_access": True}),
        *(
            (f"ServerApp.tornado_settings: {name}", {}, {"tornado_settings": {name: value}})
            for name, value in (
                *(("disable_check_xsrf", True), ("allow_unauthenticated_access", True)),
                *(("authenticate_prometheus", False), ("nbconvert_csp_sandbox", False)),
                *(("debug", True), ("serve_traceback", True), ("allow_origin_pat", re.compile(".*"))),
            )
        ),
        *(
            (f"ServerApp.tornado_settings: headers['{name}']", {}, {"tornado_settings": {"headers": {name: "*"}}})
            for name in ("Access-Control-Allow-Origin", "access-control-allow-origin")
        ),
        ("ServerApp.authenticate_prometheus", {}, {"authenticate_prometheus": False}),
        ("ServerApp.nbconvert_csp_sandbox", {}, {"nbconvert_csp_sandbox": False}),
        ("ServerApp.allow_root", {}, {"allow_root": True}),
        ("ServerApp.cookie_secret", {}, {"cookie_secret": b"short"}),
        ("Session.key", {}, {"Session__key": b""}),
        ("ServerApp.authorizer_class", {}, {"authorizer_class": AllowAllAuthorizer}),
        ("ALLOW_DEBUG_AUTH", {"ALLOW_DEBUG_AUTH": "true"}, {}),
        ("PUBLIC_URL", {"PUBLIC_URL": "http://fleet.example.org"}, {}),
        ("PUBLIC_URL", {"PUBLIC_URL": ""}, {}),
        ("ENTRA_AUTHORITY", {"ENTRA_AUTHORITY": "http://127.0.0.1:9"}, {}),
        ("FLEET_SANDBOX=process", {"FLEET_SANDBOX": "process"}, {}),
        ("FLEET_SANDBOX=local", {"FLEET_SANDBOX_TIER": ""}, {}),
        ("DATABASE_URL", {"ENTRA_TENANTS": f"{TENANT},{CLIENT}"}, {}),
        ("DATABASE_URL", {"ENTRA_TENANTS": "*", "DATABASE_URL": "sqlite:///fleet.db"}, {}),
    ],
)
def test_each_unsafe_setting_is_the_one_thing_named(
    server: Any, setting: str, variables: dict[str, str], options: dict[str, Any]
) -> None:
    assert names(*server({**SAFE, **variables}, **options)) == [setting]


def test_origins_that_are_named_are_safe(server: Any) -> None:
    options = {"allow_origin_pat": r"https://[a-z]+\.example\.org$"}
    assert names(*server(SAFE, **options)) == []


def test_a_token_that_kernels_inherit_is_unsafe(server: Any) -> None:
    assert names(*server(SAFE), {"JUPYTER_TOKEN": "t"}) == ["JUPYTER_TOKEN"]


JUPYTER = {"APP_ENV": "staging", "PUBLIC_URL": "https://lab.example.org"}
PASSWORD = {
    "IdentityProvider__token": "",
    "IdentityProvider__secure_cookie": True,
    "PasswordIdentityProvider__hashed_password": "argon2:x",
}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({**PASSWORD, "PasswordIdentityProvider__hashed_password": ""}, ["IdentityProvider.token=''"]),
        ({**PASSWORD, "IdentityProvider__token": "t"}, ["IdentityProvider.token"]),
        (PASSWORD, []),
        ({**PASSWORD, "IdentityProvider__secure_cookie": None}, ["IdentityProvider.secure_cookie"]),
        ({**PASSWORD, "IdentityProvider__secure_cookie": None, "trust_xheaders": True}, []),
        ({**PASSWORD, "IdentityProvider__secure_cookie": None, "certfile": "/etc/fleet.pem"}, []),
        (
            {**PASSWORD, "IdentityProvider__secure_cookie": False, "trust_xheaders": True},
            ["IdentityProvider.secure_cookie"],
        ),
        *(
            (
                {**PASSWORD, "IdentityProvider__cookie_options": {name: False}},
                [f"IdentityProvider.cookie_options: {name}"],
            )
            for name in ("httponly", "secure")
        ),
    ],
)
def test_the_servers_own_sign_in_needs_a_password_and_no_token(
    server: Any, options: dict[str, Any], named: list[str]
) -> None:
    assert names(*server(JUPYTER, allow_unauthenticated_access=False, **options)) == named


def test_one_s_own_machine_may_be_as_it_likes(server: Any) -> None:
    app, deployment = server({"ALLOW_DEBUG_AUTH": "1"}, IdentityProvider__token="", allow_origin="*")
    enforce(app, deployment)


def test_a_server_told_to_use_entra_that_does_not_is_refused_everywhere(server: Any) -> None:
    app, _ = server({"IdentityProvider__token": "t"})
    with pytest.raises(SystemExit, match=r"AUTH_MODE=entra: the server signs people in by PasswordIdentityProvider"):
        enforce(app, Deployment.from_environ({**SAFE, "APP_ENV": "local"}))


def test_entra_takes_no_server_token(server: Any) -> None:
    app, _ = server(SAFE, IdentityProvider__token="t")
    with pytest.raises(SystemExit, match=r"IdentityProvider\.token"):
        app.identity_provider.validate_security(app)


def test_the_authorizer_is_ours_where_the_provider_is(server: Any) -> None:
    app, _ = server(SAFE)
    assert isinstance(app.authorizer, EntraAuthorizer)
    assert app.authorizer.identity_provider is app.identity_provider


def test_an_unsafe_server_does_not_start_and_says_everything_at_once(tmp_path: Path) -> None:
    variables = {**SAFE, "PUBLIC_URL": "", "ALLOW_DEBUG_AUTH": "1", "FLEET_SANDBOX": "process"}
    done = subprocess.run(
        command(["--ServerApp.allow_origin=*"]),
        cwd=ROOT,
        env=environment(tmp_path, variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    told = done.stderr[done.stderr.rindex("APP_ENV=production does not start with:") :]
    expected = ("ALLOW_DEBUG_AUTH", "PUBLIC_URL", "FLEET_SANDBOX=process", "ServerApp.allow_origin='*'")
    assert [name in told for name in expected] == [True] * 4
    assert "set it to the https address" in told
    assert not done.stdout


def test_a_safe_server_starts_and_lines_of_configuration_do_without_auth_mode(tmp_path: Path) -> None:
    variables = {name: value for name, value in SAFE.items() if name != "AUTH_MODE"}
    lines = [f"--ServerApp.{name}={value}" for name, value in SELECTED.items()]
    with running(tmp_path, variables, lines) as started:
        told = httpx.get(f"{started.base}/fleet/api/v1/runs", headers={"Authorization": "Basic x"}, trust_env=False)
    assert (told.status_code, told.json()["code"]) == (401, "invalid_token")
