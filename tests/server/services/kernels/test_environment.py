"""What a kernel may see."""

from __future__ import annotations

from fleet_rlm.server.services.kernels.environment import clean_environment
from tests.server.services.conftest import SECRETS
from tests.server.serving import TOKEN, Serving


def test_what_programs_need_stays() -> None:
    environ = {"PATH": "/bin", "LANG": "C.UTF-8", "HTTPS_PROXY": "http://proxy.example:3128", "FLEET_SANDBOX": "local"}
    assert clean_environment(environ) == environ


def test_keys_databases_and_tokens_go() -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "PGHOST", "AWS_PROFILE"):
        assert clean_environment({name: "x"}) == {}, name
    assert clean_environment({"ANY": "https://user:password@service.example/"}) == {}


def test_a_real_kernel_of_ours_holds_no_secret_of_the_server(server: Serving) -> None:
    """Read from the system, as any process of the same user could."""
    before = server.kernel_processes()
    with server.drive() as talk:
        talk.ask("What?", session_id="what-a-kernel-sees", execution_mode="direct")
        talk.until("ended")
    seen = [server.environment_of(pid) for pid in server.kernel_processes() if pid not in before]
    assert seen
    for environ in seen:
        for secret in (*SECRETS.values(), TOKEN):
            assert all(secret not in value for value in environ.values())
        assert environ["FLEET_LM"] == "openai/twin"
        assert environ["OPENAI_BASE_URL"] == server.base + "lm"
        assert environ["OPENAI_API_KEY"].startswith("fleet-lm-")
