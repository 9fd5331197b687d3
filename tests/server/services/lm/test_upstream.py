"""Names to addresses, keys and aliases."""

from __future__ import annotations

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.lm.providers import KEYS
from fleet_rlm.server.services.lm.upstream import BASES, models_of, upstream_of


def test_every_provider_with_a_known_key_has_an_address() -> None:
    assert set(BASES) == set(KEYS)


@pytest.mark.parametrize(
    ("name", "environ", "alias", "model", "base"),
    [
        ("openai/gpt-4.1", {"OPENAI_API_KEY": "k"}, "gpt-4.1", "gpt-4.1", BASES["openai"]),
        ("gpt-4.1", {"OPENAI_API_KEY": "k"}, "gpt-4.1", "gpt-4.1", BASES["openai"]),
        ("openai/x", {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1/"}, "x", "x", "http://127.0.0.1:1/v1"),
        ("anthropic/c", {"ANTHROPIC_API_KEY": "k"}, "anthropic/c", "c", BASES["anthropic"]),
        ("qwen3@http://127.0.0.1:1/v1", {}, "qwen3", "qwen3", "http://127.0.0.1:1/v1"),
    ],
)
def test_a_name_says_where_to_call(name: str, environ: dict[str, str], alias: str, model: str, base: str) -> None:
    found = upstream_of(name, environ)
    assert (found.alias, found.model, found.base) == (alias, model, base)
    assert found.key == environ.get("OPENAI_API_KEY", environ.get("ANTHROPIC_API_KEY"))


@pytest.mark.parametrize("name", ["openai/gpt-4.1", "anthropic/c", "bedrock/c"])
def test_what_cannot_be_called_is_an_error_at_the_start(name: str) -> None:
    with pytest.raises(UserError):
        upstream_of(name, {})


def test_a_key_shows_in_no_repr() -> None:
    assert "sesame" not in repr(models_of({"FLEET_LM": "openai/x", "OPENAI_API_KEY": "sesame"}))


def test_clients_may_choose_what_the_administrator_names() -> None:
    models = models_of({"FLEET_LM": "openai/a", "FLEET_SUB_LM": "b@http://127.0.0.1:1/v1", "OPENAI_API_KEY": "k"})
    assert models.in_kernel("openai/a") == models.in_kernel("a") == "openai/a"
    assert models.in_kernel("b@http://127.0.0.1:1/v1") == "openai/b"
    assert models.in_kernel("fleet/offline") == "fleet/offline"
    assert models.in_kernel("openai/z") is None
    keys = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    allowed = models_of({"FLEET_LM": "openai/a", "FLEET_LM_ALLOW": "openai/z, anthropic/c", **keys})
    assert allowed.in_kernel("anthropic/c") == "openai/anthropic/c"


def test_without_a_model_kernels_have_the_stand_in() -> None:
    assert models_of({}).main is None
    assert models_of({"FLEET_LM": "fleet/offline", "OPENAI_API_KEY": "k"}).known == {}


def test_variables_of_older_set_ups_still_count() -> None:
    found = models_of({"DSPY_LM_MODEL": "openai/x", "DSPY_LLM_API_KEY": "k", "DSPY_LM_API_BASE": "http://127.0.0.1:1"})
    assert found.main is not None
    assert (found.main.model, found.main.base, found.main.key) == ("x", "http://127.0.0.1:1", "k")
