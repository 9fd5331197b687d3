"""Whose model a name means, and which environment variables may hold the key for it.

Only the providers whose key variables are certain are listed; cloud accounts (Azure, Bedrock, Vertex and the like) have
credential chains that no table tells, and are left to the call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from fleet_rlm.lm.catalog import chat_models, providers

KEYS: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "moonshot": ("MOONSHOTAI_API_KEY", "MOONSHOT_API_KEY"),
    "cerebras": ("CEREBRAS_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
}
"""Variables by provider, the usual one first; held against dspy's and LiteLLM's own by `tests/lm/test_providers.py`."""

KEYLESS = ("ollama", "ollama_chat", "hosted_vllm", "lm_studio")
"""Servers of the user's own that ask for no key."""

_FAMILIES = {"gpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai"}
_FAMILIES |= {"claude-": "anthropic", "gemini-": "gemini", "grok-": "xai"}
"""Names dspy takes without a provider, by their beginning."""


def provider_of(model: str) -> str | None:
    """The provider a model name selects, None when there is no such provider or the bare name says none."""
    prefix, slash, _ = model.partition("/")
    if slash:
        return prefix if _is_provider(prefix) else None
    family = next((owner for start, owner in _FAMILIES.items() if model.startswith(start)), None)
    return family or next((owner for owner in KEYS if f"{owner}/{model}" in chat_models()), None)


def missing_key(model: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The variables of which one must be set before this model can be called; empty when nothing is known to miss."""
    environ = os.environ if environ is None else environ
    keys = KEYS.get(provider_of(model) or "", ())
    return () if any(environ.get(key) for key in keys) else keys


def _is_provider(prefix: str) -> bool:
    if prefix in KEYS or prefix in KEYLESS or prefix in providers() or prefix in _declared():
        return True
    # Four seconds of import, paid only before a name is refused: the list above is short, LiteLLM's is complete.
    import litellm

    return prefix in {getattr(provider, "value", provider) for provider in litellm.provider_list}


def _declared() -> set[str]:
    """Providers this process declared with dspy.lm15.register_provider; none where dspy is not loaded."""
    lm15 = sys.modules.get("dspy.lm15")
    declared = lm15.registered_providers() if lm15 is not None else ()
    return {name.replace("-", sign) for one in declared for name in one.definition.spellings for sign in "-_"}
