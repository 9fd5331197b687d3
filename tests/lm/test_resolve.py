"""Which model answers: the order, the forms a name takes, and what is refused before any call."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import Any

import dspy
import pytest

from fleet_rlm.core.errors import ModelError, UserError
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.resolve import Resolved, known_models, resolve, resolve_both
from tests.twins.lm_server import LMServer

KEY = "sk-test-0123456789abcdefghij"


def asked(resolved: Resolved) -> Any:
    return asyncio.run(resolved.lm.acall("Hello?"))


def refusal(name: Any) -> str:
    with pytest.raises(ModelError) as refused:
        resolve(name)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def loaded_by(expression: str) -> list[str]:
    """The modules a fresh process has loaded after evaluating this."""
    program = f"import sys; from fleet_rlm.lm.resolve import *; {expression}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_with_nothing_configured_the_stand_in_answers_and_says_so() -> None:
    resolved = resolve()
    assert (resolved.name, resolved.offline) == ("fleet/offline", True)


def test_a_model_given_for_the_run_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("FLEET_LM", "openai/gpt-4o")
    assert resolve("fleet/offline").offline
    assert resolve("openai/gpt-4o-mini").name == "openai/gpt-4o-mini"


def test_fleet_lm_comes_before_the_dspy_variables_and_these_before_dspys_own_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured = dspy.LM("openai/configured", api_key=KEY)
    with dspy.context(lm=configured):
        assert resolve().lm is configured
        monkeypatch.setenv("DSPY_LM_MODEL", "openai/by-dspy-variables")
        monkeypatch.setenv("DSPY_LLM_API_KEY", KEY)
        assert resolve().name == "openai/by-dspy-variables"
        monkeypatch.setenv("FLEET_LM", "ollama_chat/by-fleet-lm")
        assert resolve().name == "ollama_chat/by-fleet-lm"


def test_settings_that_are_given_replace_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LM", "ollama_chat/one")
    assert resolve(settings=Settings(lm="ollama_chat/two")).name == "ollama_chat/two"


def test_sub_queries_have_the_runs_model_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LM", "ollama_chat/paid-for")
    main, sub = resolve_both("ollama_chat/chosen")
    assert main is sub
    monkeypatch.setenv("FLEET_SUB_LM", "ollama_chat/small")
    main, sub = resolve_both("ollama_chat/chosen")
    assert (main.name, sub.name) == ("ollama_chat/chosen", "ollama_chat/small")
    assert resolve_both(sub_lm="ollama_chat/tiny")[1].name == "ollama_chat/tiny"
    assert resolve(sub=True).name == "ollama_chat/small"


def test_a_model_at_an_address_is_called_there_without_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with LMServer("hello") as server:
        for name in (f"some/model@{server.base_url}", f"openai/some/model@{server.base_url}"):
            resolved = resolve(name)
            assert resolved.name == f"openai/some/model@{server.base_url}"
            assert asked(resolved) == ["hello"]
        assert [request.body["model"] for request in server.requests] == ["some/model"] * 2
        assert not [request for request in server.requests if KEY in str(request.headers)]


def test_an_address_without_a_path_gets_v1() -> None:
    with LMServer("hello") as server:
        assert asked(resolve(f"test@{server.base_url.removesuffix('/v1')}")) == ["hello"]


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_the_openai_address_goes_with_the_openai_key(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LMServer("hello", key=KEY) as server:
        monkeypatch.setenv(variable, server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert asked(resolve("openai/gpt-4o")) == ["hello"]


def test_the_dspy_variables_name_model_key_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with LMServer("hello", key=KEY) as server:
        monkeypatch.setenv("DSPY_LM_MODEL", "openai/some-model")
        monkeypatch.setenv("DSPY_LLM_API_KEY", KEY)
        monkeypatch.setenv("DSPY_LM_API_BASE", server.base_url)
        resolved = resolve()
        assert asked(resolved) == ["hello"]
        assert resolved.secrets == (KEY,)
        assert KEY not in repr(resolved)


def test_a_dspy_lm_is_taken_as_it_is() -> None:
    lm = dspy.LM("openai/some-model", api_key=KEY, temperature=0.5, cache=True)
    resolved = resolve(lm)
    assert resolved.lm is lm
    assert not resolved.offline


def test_the_same_question_is_asked_again_not_taken_from_a_cache() -> None:
    with LMServer(lambda _, index: f"answer {index}") as server:
        resolved = resolve(f"test@{server.base_url}")
        assert [asked(resolved), asked(resolved)] == [["answer 0"], ["answer 1"]]


def test_a_missing_key_is_told_by_the_variable_to_set() -> None:
    assert "set OPENAI_API_KEY in the environment" in refusal("openai/gpt-4o")
    assert "set GEMINI_API_KEY (or GOOGLE_API_KEY)" in refusal("gemini/gemini-2.5-pro")
    assert "MISTRAL_API_KEY" in refusal("mistral/mistral-large-latest")
    assert "fleet/offline" in refusal("gpt-4o")


def test_a_dspy_lm_without_its_key_is_refused_too() -> None:
    assert "ANTHROPIC_API_KEY" in refusal(dspy.LM("anthropic/claude-sonnet-4-5"))


def test_a_dspy_lm_with_its_own_engine_needs_no_key() -> None:
    assert resolve(dspy.utils.DummyLM([{"answer": "42"}])).lm is not None


def test_an_unknown_provider_is_told_with_the_nearest() -> None:
    assert "did you mean openai/gpt-4o?" in refusal("opnai/gpt-4o")
    assert "did you mean anthropic/claude-sonnet-4-5?" in refusal("antropic/claude-sonnet-4-5")


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    assert "openai/gpt-4o-mini" in refusal("gpt4o-mini")
    assert "did you mean fleet/offline?" in refusal("fleet/ofline")


@pytest.mark.parametrize("name", ["", "  ", "openai/", "/", "zzzzzzzzzzzz"])
def test_a_name_like_nothing_is_told_the_form(name: str) -> None:
    assert "provider/model" in refusal(name)


@pytest.mark.parametrize("address", ["http://", "http://host:port/v1", "https://:80", "http://host:99999"])
def test_a_wrong_address_is_told_the_form(address: str) -> None:
    assert "MODEL@http://HOST:PORT/v1" in refusal(f"model@{address}")


def test_a_password_in_an_address_is_refused_without_repeating_it() -> None:
    sentence = refusal("model@http://me:hunter22@host/v1")
    assert "password" in sentence
    assert "hunter22" not in sentence


def test_what_is_neither_name_nor_model_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"a model name or a dspy\.LM, not int"):
        resolve(3)  # type: ignore[arg-type]


def test_resolving_calls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        resolve(f"model@http://127.0.0.1:{port}/v1")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_good_name_needs_no_litellm() -> None:
    assert "litellm" not in loaded_by("resolve('ollama_chat/qwen3')")


def test_models_to_offer_are_the_stand_in_what_is_named_and_those_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_models() == ["fleet/offline"]
    monkeypatch.setenv("FLEET_LM", "ollama_chat/qwen3")
    monkeypatch.setenv("FLEET_SUB_LM", "fleet/offline")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    offered = known_models()
    assert offered[:2] == ["fleet/offline", "ollama_chat/qwen3"]
    assert "anthropic/claude-sonnet-4-5" in offered
    assert len(offered) == len(set(offered)) <= 50


def test_models_can_be_offered_without_loading_dspy() -> None:
    assert "dspy" not in loaded_by("known_models()")
