"""Key variables and provider names, held against what dspy and LiteLLM themselves say."""

from __future__ import annotations

import pytest
from dspy import lm15

from fleet_rlm.lm.providers import KEYLESS, KEYS, missing_key, provider_of

NATIVE = {"openai": "openai-chat", "moonshot": "moonshotai"} | {
    name: name for name in ("anthropic", "gemini", "groq", "deepseek", "openrouter")
}


@pytest.mark.parametrize("provider", NATIVE)
def test_the_variables_of_native_providers_are_dspys(provider: str) -> None:
    with pytest.raises(lm15.NotConfiguredError) as refused:
        lm15.LMRouter(lm15.RouterConfig(env={})).lm(f"{NATIVE[provider]}:some-model")
    assert refused.value.env_keys == KEYS[provider]


@pytest.mark.parametrize("provider", sorted(KEYS.keys() - NATIVE.keys()))
def test_the_variables_of_other_providers_are_litellms(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import litellm

    assert litellm.validate_environment(f"{provider}/some-model")["missing_keys"] == [KEYS[provider][0]]
    for key in KEYS[provider]:
        monkeypatch.setenv(key, "a-key")
        assert litellm.get_llm_provider(f"{provider}/some-model")[2] == "a-key"
        monkeypatch.delenv(key)


@pytest.mark.parametrize("provider", KEYLESS)
def test_servers_of_ones_own_are_providers_that_need_no_key(provider: str) -> None:
    assert provider_of(f"{provider}/some-model") == provider
    assert missing_key(f"{provider}/some-model", {}) == ()


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai/gpt-4o", "openai"),
        ("openrouter/openai/gpt-4o", "openrouter"),
        ("gpt-4o", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("mistral-large-latest", "mistral"),
        ("bedrock/anthropic.claude-3", "bedrock"),
        ("huggingface/some/model", "huggingface"),
        ("opnai/gpt-4o", None),
        ("no-such-model", None),
        ("", None),
    ],
)
def test_a_name_tells_its_provider(model: str, provider: str | None) -> None:
    assert provider_of(model) == provider


def test_a_provider_declared_to_dspy_is_known() -> None:
    access = lm15.AccessPolicy(provider="our-gateway", base_url="http://127.0.0.1:9/v1", env_keys=("OUR_KEY",))
    lm15.register_provider(lm15.ProviderDefinition.chat(access, compat=lm15.OpenAIChatCompat.preset("openai")))
    try:
        assert provider_of("our-gateway/some-model") == "our-gateway"
    finally:
        lm15.unregister_provider("our-gateway")


def test_any_one_of_a_providers_variables_is_enough() -> None:
    assert missing_key("gemini/gemini-2.5-pro", {}) == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert missing_key("gemini/gemini-2.5-pro", {"GOOGLE_API_KEY": "k"}) == ()


def test_an_empty_variable_is_a_missing_key() -> None:
    assert missing_key("openai/gpt-4o", {"OPENAI_API_KEY": ""}) == ("OPENAI_API_KEY",)
