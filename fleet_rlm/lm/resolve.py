"""Which model a name means, and which one answers when nobody names any.

In this order: the model given for the run; FLEET_LM (for sub-queries FLEET_SUB_LM); DSPY_LM_MODEL with
DSPY_LLM_API_KEY and, if set, DSPY_LM_API_BASE; the model configured in dspy (`dspy.configure(lm=...)`); else
`fleet/offline`, which is no model and says so.

A name is what dspy takes ("openai/gpt-4o", "anthropic/claude-sonnet-4-5", "ollama_chat/qwen3"), with the key in the
provider's usual variable, or MODEL@ADDRESS for any OpenAI-compatible server ("qwen3@http://127.0.0.1:1234/v1"). To an
address in a name no key is sent; OPENAI_BASE_URL goes with OPENAI_API_KEY. What can be known to fail, fails here,
before any call. Models built here do not use dspy's response cache: a run is asked anew, and its log is the record.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fleet_rlm.core.errors import ModelError, UserError
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm import catalog, offline
from fleet_rlm.lm.providers import KEYLESS, KEYS, missing_key, provider_of

if TYPE_CHECKING:
    import dspy

_AT_ADDRESS = re.compile(r"(?P<model>.+?)@(?P<address>https?:.*)", re.DOTALL)

_CLIENT_SETTINGS = ("api_key", "api_base", "base_url", "headers", "extra_headers", "azure_ad_token_provider")
"""Settings of a dspy.LM that say it brings its own credentials or address."""

_NO_KEY = "none"
"""Sent where a server asks for no key: clients refuse to call without one."""

_LISTED = 40
"""Names per provider in `known_models`: some hundreds would bury the rest."""


@dataclass(frozen=True)
class Resolved:
    """A model ready to be called.

    Attributes:
        lm: dspy's client of it.
        name: what to call it before people; an address in it shows.
        offline: it is the rule-based stand-in, not a language model.
        given: it was given as an object, so its name alone does not say how to call it.
    """

    lm: dspy.BaseLM = field(repr=False)
    name: str
    offline: bool = False
    given: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """Keys that were given to the client and must not appear in a log."""
        key = self.lm.kwargs.get("api_key")
        return (key,) if isinstance(key, str) and key != _NO_KEY else ()


def resolve(
    name_or_lm: str | dspy.BaseLM | None = None, *, sub: bool = False, settings: Settings | None = None
) -> Resolved:
    """The model of a run, or of its sub-queries.

    Args:
        name_or_lm: a name, a `dspy.LM`, or None for what the environment says.
        sub: FLEET_SUB_LM comes before FLEET_LM.
        settings: those of the environment by default.

    Raises:
        ModelError: no such provider, no key, or an address that is none; the message says what to do.
        UserError: it is neither a name nor a dspy model.
    """
    # Both dspy and LiteLLM would fetch a price list from the network on first use; a run contacts its model only.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    settings = settings or Settings.from_environ()
    chosen = name_or_lm if name_or_lm is not None else (settings.sub_lm if sub else None) or settings.lm
    if chosen is None:
        return _configured()
    return _named(chosen.strip()) if isinstance(chosen, str) else _given(chosen)


def resolve_both(
    lm: str | dspy.BaseLM | None = None, sub_lm: str | dspy.BaseLM | None = None, settings: Settings | None = None
) -> tuple[Resolved, Resolved]:
    """The model of a run and that of its sub-queries, which is the same one unless another is named.

    Raises:
        ModelError, UserError: as `resolve`.
    """
    settings = settings or Settings.from_environ()
    main = resolve(lm, settings=settings)
    named = sub_lm is not None or settings.sub_lm is not None
    return main, resolve(sub_lm, sub=True, settings=settings) if named else main


def known_models() -> list[str]:
    """Names to offer: the stand-in, what the environment names, and models of the providers whose key is set."""
    settings = Settings.from_environ()
    named = (settings.lm, settings.sub_lm, os.environ.get("DSPY_LM_MODEL"))
    keyed = [provider for provider, keys in KEYS.items() if any(os.environ.get(key) for key in keys)]
    listed = [name for provider in keyed for name in catalog.plain_names(provider)[:_LISTED]]
    return list(dict.fromkeys([offline.NAME, *filter(None, named), *listed]))


def _configured() -> Resolved:
    import dspy  # a second to import, and only a run needs it

    model = os.environ.get("DSPY_LM_MODEL")
    if model:
        key, address = os.environ.get("DSPY_LLM_API_KEY"), os.environ.get("DSPY_LM_API_BASE")
        return _named(model.strip(), key=key, address=address)
    return _given(dspy.settings.lm) if dspy.settings.lm is not None else _offline()


def _offline() -> Resolved:
    return Resolved(offline.offline_lm(), offline.NAME, offline=True)


def _given(lm: Any) -> Resolved:
    import dspy

    if not isinstance(lm, dspy.BaseLM):
        raise UserError(f"lm must be a model name or a dspy.LM, not {type(lm).__name__}")
    own_client = any(lm.kwargs.get(setting) for setting in _CLIENT_SETTINGS)
    if isinstance(getattr(lm, "engine", None), str) and not own_client:
        _require_key(lm.model)
    stand_in = lm.model == offline.NAME
    return Resolved(lm, lm.model, offline=stand_in, given=not stand_in)


def _named(name: str, key: str | None = None, address: str | None = None) -> Resolved:
    if name == offline.NAME:
        return _offline()
    at = _AT_ADDRESS.fullmatch(name)
    if at:
        address, key = _checked(at["address"]), key or _NO_KEY
        model = "openai/" + at["model"].removeprefix("openai/")
        return Resolved(_client(model, key, address), f"{model}@{address}")
    provider = provider_of(name)
    if provider is None or name.endswith("/"):
        raise ModelError(f"{name!r} is not a model of a known provider{_meant(name)}")
    if provider == "openai" and address is None:
        address = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    if provider == "openai" and address is not None:
        key = key or os.environ.get("OPENAI_API_KEY") or _NO_KEY
    if key is None:
        _require_key(name)
    model = name if "/" in name else f"{provider}/{name}"
    return Resolved(_client(model, key, _checked(address) if address else None), model)


def _client(model: str, key: str | None, address: str | None) -> dspy.LM:
    import dspy

    settings: dict[str, Any] = {"api_key": key, "api_base": address}
    # Left to choose, dspy hands an address to LiteLLM whenever OPENAI_BASE_URL is set: slower, and cancelled less well.
    settings["engine"] = "lm15" if address and provider_of(model) == "openai" else "auto"
    return dspy.LM(model, cache=False, **{name: value for name, value in settings.items() if value is not None})


def _require_key(model: str) -> None:
    keys = missing_key(model)
    if keys:
        others = f" (or {', '.join(keys[1:])})" if keys[1:] else ""
        raise ModelError(f"{model} needs a key: set {keys[0]}{others} in the environment, or use {offline.NAME}")


def _checked(address: str) -> str:
    """The address of a server, with the /v1 that every OpenAI-compatible server has if it has no path."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ModelError(f"{address!r} is not the address of a server; write MODEL@http://HOST:PORT/v1")
    if parts.username or parts.password:
        raise ModelError("put no password into the address of a model; give a dspy.LM with api_key instead")
    return address if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"


def _meant(name: str) -> str:
    prefix, slash, rest = name.partition("/")
    close = catalog.close(name, [offline.NAME])
    if not close and rest:
        close = [f"{provider}/{rest}" for provider in catalog.close(prefix, [*KEYS, *KEYLESS])]
    if not close and (rest or not slash):
        close = catalog.close_models(name)
    return f"; did you mean {' or '.join(close)}?" if close else "; write provider/model, such as openai/gpt-4o"
