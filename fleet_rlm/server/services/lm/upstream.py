"""Where a model's calls go: the provider's OpenAI-compatible address, the key from the server's environment, the name.

Names are those of FLEET_LM (`fleet_rlm.lm.resolve`). In a kernel every model is one of an OpenAI-compatible server,
which is us: `openai/ALIAS`, where the alias is the name itself, for OpenAI's own models the bare name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet_rlm.core.errors import UserError
from fleet_rlm.lm.providers import KEYS

OFFLINE = "fleet/offline"

BASES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "nebius": "https://api.studio.nebius.com/v1",
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "together_ai": "https://api.together.xyz/v1",
}
"""Where providers speak OpenAI's language."""

_AT_ADDRESS = re.compile(r"(?P<model>.+?)@(?P<address>https?://.+)", re.DOTALL)


@dataclass(frozen=True)
class Upstream:
    """One model as it is called: `alias` by kernels, `model` by its provider; `listed` is its name in price lists."""

    alias: str
    model: str
    base: str
    key: str | None = field(repr=False, default=None)
    listed: str | None = None

    @property
    def in_kernel(self) -> str:
        """What FLEET_LM says in a kernel."""
        return f"openai/{self.alias}"


@dataclass(frozen=True)
class Models:
    """The models of this server.

    Attributes:
        main, sub: of runs, and of sub-queries where that is another; None is the stand-in.
        known: all that kernels may call, by alias.
    """

    main: Upstream | None
    sub: Upstream | None
    known: Mapping[str, Upstream]

    def in_kernel(self, name: str) -> str | None:
        """What a kernel calls the model of this name; None where this server has no such model."""
        if name == OFFLINE:
            return name
        found = self.known.get(name) or self.known.get(name.removeprefix("openai/"))
        if found is None:
            found = next((one for one in self.known.values() if _bare(name) == one.alias), None)
        return None if found is None else found.in_kernel


def models_of(environ: Mapping[str, str]) -> Models:
    """The models an environment names: FLEET_LM, FLEET_SUB_LM, and for clients to choose from FLEET_LM_ALLOW.

    Raises:
        UserError: one is of a provider whose address is not known, or its key is missing.
    """
    name = environ.get("FLEET_LM")
    main = upstream_of(name, environ) if name and name != OFFLINE else None if name else _of_dspy(environ)
    sub_name = environ.get("FLEET_SUB_LM")
    sub = upstream_of(sub_name, environ) if sub_name and sub_name != OFFLINE else None
    others = [one.strip() for one in environ.get("FLEET_LM_ALLOW", "").split(",") if one.strip()]
    all_of_them = [one for one in (main, sub, *(upstream_of(other, environ) for other in others)) if one is not None]
    return Models(main, sub, {one.alias: one for one in all_of_them})


def upstream_of(name: str, environ: Mapping[str, str]) -> Upstream:
    """Where a model of this name is.

    Raises:
        UserError: as `models_of`.
    """
    at = _AT_ADDRESS.fullmatch(name)
    if at:
        model = at["model"].removeprefix("openai/")
        return Upstream(model, model, at["address"].rstrip("/"))
    provider, _, model = name.partition("/") if "/" in name else ("openai", "", name)
    if provider not in BASES:
        raise UserError(
            f"FLEET_LM={name}: the gateway speaks OpenAI's language, and the address of {provider!r} in it is not "
            "known; write MODEL@https://HOST/v1, or one of " + ", ".join(BASES)
        )
    base = BASES[provider]
    if provider == "openai":
        base = environ.get("OPENAI_BASE_URL") or environ.get("OPENAI_API_BASE") or base
    key = next((environ[one] for one in KEYS[provider] if environ.get(one)), None)
    if key is None and base == BASES[provider]:
        raise UserError(f"{name} needs a key: set {KEYS[provider][0]} in the server's environment")
    return Upstream(model if provider == "openai" else name, model, base.rstrip("/"), key, f"{provider}/{model}")


def _of_dspy(environ: Mapping[str, str]) -> Upstream | None:
    """The model of older set-ups."""
    name, base = environ.get("DSPY_LM_MODEL"), environ.get("DSPY_LM_API_BASE")
    if not name:
        return None
    key = environ.get("DSPY_LLM_API_KEY")
    if base:
        model = name.removeprefix("openai/")
        return Upstream(model, model, base.rstrip("/"), key)
    provider = name.partition("/")[0]
    return upstream_of(name, {**environ, **({KEYS[provider][0]: key} if key and provider in KEYS else {})})


def _bare(name: str) -> str:
    at = _AT_ADDRESS.fullmatch(name)
    return at["model"].removeprefix("openai/") if at else name
