"""What stands after `--`: options of the Jupyter server that say nothing again and nothing else."""

from __future__ import annotations

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.options import merged

DEFAULTS: dict[str, object] = {"ip": "127.0.0.1", "open_browser": False, "log_level": "WARN"}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (
            "--ServerApp.ip=0.0.0.0",
            "write --host before the --, as in fleet serve --host ..., in place of --ServerApp.ip",
        ),
        ("--ip=0.0.0.0", "write --host before the --"),
        ("--ip", "write --host before the --"),
        ("--port=1", "write --port before the --"),
        ("--ServerApp.port=1", "write --port before the --"),
        ("--ServerApp.base_url=/x", "write --base-url before the --"),
        ("--token=x", "has no --token: write -- --IdentityProvider.token=..."),
        ("--sock=/tmp/x", "the API listens on a port"),
        ("--ServerApp.jpserver_extensions={}", "which extensions are loaded is decided here"),
        ("--ServerApp.allow_unauthenticated_access=True", "routes without a sign-in stay closed"),
    ],
)
def test_what_is_said_by_our_own_options_is_refused_in_one_sentence(option: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        merged("fleet serve", DEFAULTS, ["--allow-root", option])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_token_is_given_once() -> None:
    both = ["--ServerApp.token=a", "--IdentityProvider.token=b"]
    with pytest.raises(UserError, match="the token is given twice"):
        merged("fleet serve", DEFAULTS, both)
    for one in both:
        assert merged("fleet serve", DEFAULTS, [one])[-1] == one


def test_defaults_give_way_to_options_and_others_go_through() -> None:
    given = ["--ServerApp.log_level=INFO", "--no-browser", "--FleetApp.max_kernels=2", "notebook.ipynb"]
    assert merged("fleet lab", DEFAULTS, given) == ["--ServerApp.ip=127.0.0.1", *given]
