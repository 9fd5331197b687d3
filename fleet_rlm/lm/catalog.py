"""Which models exist, as far as the list that comes with dspy knows: names and context windows.

The list is read from dspy's files without importing dspy (a second) and without its refresh over the network, so that
completion stays quick and nobody is contacted. It advises only: a model that is not in it may still exist.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_FILE = "clients/model_metadata/snapshot.json.gz"
"""Inside the dspy package; pinned by `tests/lm/test_catalog.py`."""

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}|-\d{4}(-|$)|preview|latest|audio|realtime|search|ft:|:")
"""Dated, provisional and special-purpose variants, which would drown the plain names in a list."""


@dataclass(frozen=True)
class Price:
    """US dollars for a token that is read, for one that the provider had read before, and for one that is written."""

    read: float
    cached: float
    written: float

    def of(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        """What a call costs; the cached tokens are among those that are read."""
        cached = min(tokens_cached, tokens_in)
        return (tokens_in - cached) * self.read + cached * self.cached + tokens_out * self.written


@dataclass(frozen=True)
class Model:
    """One chat model: `window` is the longest prompt in tokens, None where it is not known."""

    provider: str
    window: int | None
    price: Price | None = None

    @property
    def priced(self) -> bool:
        """Whether its price is known."""
        return self.price is not None


@functools.cache
def chat_models() -> dict[str, Model]:
    """The chat models by full name (provider/model); empty where dspy keeps no such list."""
    spec = find_spec("dspy")
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        return {}
    found: dict[str, Model] = {}
    for key, entry in json.loads(gzip.decompress(path.read_bytes())).items():
        if not isinstance(entry, dict) or entry.get("mode") not in ("chat", "responses"):
            continue
        provider = key.partition("/")[0] if "/" in key else str(entry.get("litellm_provider"))
        name = key if "/" in key else f"{provider}/{key}"
        if name not in found or "/" in key:  # where both spellings are listed, the full one is the more specific
            window = entry.get("max_input_tokens")
            found[name] = Model(provider, window if isinstance(window, int) else None, _price(entry))
    return found


def _price(entry: dict[str, Any]) -> Price | None:
    read, written = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if read is None:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(float(read), float(read if cached is None else cached), float(written or 0))


def providers() -> set[str]:
    """The providers that have a chat model in the list."""
    return {model.provider for model in chat_models().values()}


def plain_names(provider: str) -> list[str]:
    """A provider's models without dated and special variants, by full name."""
    own = (name for name, model in chat_models().items() if model.provider == provider)
    return sorted(name for name in own if not _DATED.search(name))


def close(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The names most like `word`, case aside; none when nothing is close."""
    by_folded = {name.casefold(): name for name in known}
    return [by_folded[name] for name in difflib.get_close_matches(word.casefold(), by_folded, n=count, cutoff=0.6)]


def close_models(name: str) -> list[str]:
    """Models with a name like this one: of its own provider if that is known, else of any."""
    provider, slash, rest = name.partition("/")
    if slash and provider in providers():
        return close(name, (known for known, model in chat_models().items() if model.provider == provider))
    by_model = {known.partition("/")[2]: known for known in chat_models() if known.count("/") == 1}
    return [by_model[match] for match in close(rest or name, by_model)]
