"""The list of models: read from dspy's own files, quickly, without dspy or the network."""

from __future__ import annotations

import subprocess
import sys

import pytest
from dspy.clients.model_metadata import model_info

from fleet_rlm.lm.catalog import chat_models, close, close_models, plain_names, providers


def test_the_list_is_where_dspy_keeps_it_and_says_what_dspy_says() -> None:
    models = chat_models()
    assert len(models) > 1000
    for name in ("openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "openrouter/openai/gpt-4o"):
        provider, _, rest = name.partition("/")
        assert models[name].provider == provider
        assert models[name].window == model_info(provider, rest)["max_input_tokens"]


def test_reading_it_loads_neither_dspy_nor_litellm() -> None:
    program = "import sys; from fleet_rlm.lm.catalog import chat_models; assert chat_models(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"dspy", "litellm", "socket"} & set(loaded)


def test_a_price_is_dspys_and_cached_tokens_are_cheaper() -> None:
    price, dspys = chat_models()["openai/gpt-4.1"].price, model_info("openai", "gpt-4.1")
    assert price is not None
    assert (price.read, price.written) == (dspys["input_cost_per_token"], dspys["output_cost_per_token"])
    assert price.of(1_000, 100) == pytest.approx(1_000 * price.read + 100 * price.written)
    assert price.of(1_000, 0, 1_000) == pytest.approx(1_000 * dspys["cache_read_input_token_cost"])
    assert price.of(1_000, 0, 2_000) == price.of(1_000, 0, 1_000)


def test_only_chat_models_are_listed() -> None:
    assert "openai/text-embedding-3-small" not in chat_models()
    assert {"openai", "anthropic", "mistral"} <= providers()


def test_plain_names_leave_dated_and_special_variants_out() -> None:
    names = plain_names("openai")
    assert {"openai/gpt-4o", "openai/gpt-4o-mini"} <= set(names)
    assert not [name for name in names if "preview" in name or "2024" in name or "audio" in name]


def test_close_models_stay_with_the_provider_that_was_named() -> None:
    assert close_models("openai/gpt-4o-mni")[0] == "openai/gpt-4o-mini"
    assert all(name.startswith("anthropic/") for name in close_models("anthropic/claude-sonet-4-5"))


def test_a_bare_misspelt_name_finds_its_provider() -> None:
    assert "openai/gpt-4o-mini" in close_models("gpt4o-mini")


def test_nothing_close_gives_nothing() -> None:
    assert close("zzzzzzzz", ["openai", "anthropic"]) == []
    assert close_models("zzzzzzzzzzzzzz") == []
