"""How long a prompt a model takes, and whether its price is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_rlm.lm.catalog import Model, chat_models
from fleet_rlm.lm.providers import provider_of

if TYPE_CHECKING:
    import dspy

CHARS_PER_TOKEN = 3.2
"""Characters a token stands for at least, in English text and code; used where only the provider could count."""


def window(lm: dspy.BaseLM) -> int | None:
    """The model's context window in tokens; None where it is not known.

    A model behind an address of the user's own is not known, whatever its name: the server decides how much it loads.
    A recorded one has the window it had.
    """
    if (recorded := getattr(lm, "context_window", None)) is not None:
        return int(recorded)
    if lm.kwargs.get("api_base") or lm.kwargs.get("base_url"):
        return None
    known = _listed(lm)
    return known.window if known else None


def has_price(lm: dspy.BaseLM) -> bool:
    """Whether what its calls cost can be told, and so a limit in dollars be kept."""
    known = _listed(lm)
    return known is not None and known.priced


def _listed(lm: dspy.BaseLM) -> Model | None:
    if not isinstance(getattr(lm, "engine", None), str):
        return None  # a custom engine, whatever it is called
    return chat_models().get(lm.model if "/" in lm.model else f"{provider_of(lm.model)}/{lm.model}")
