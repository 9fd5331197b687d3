"""How long a prompt a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_rlm.lm.catalog import chat_models
from fleet_rlm.lm.providers import provider_of

if TYPE_CHECKING:
    import dspy

CHARS_PER_TOKEN = 3.2
"""Characters a token stands for at least, in English text and code; used where only the provider could count."""


def window(lm: dspy.BaseLM) -> int | None:
    """The model's context window in tokens; None where it is not known.

    A model behind an address of the user's own is not known, whatever its name: the server decides how much it loads.
    """
    engine = getattr(lm, "engine", None)
    if not isinstance(engine, str) or lm.kwargs.get("api_base") or lm.kwargs.get("base_url"):
        return None
    name = lm.model if "/" in lm.model else f"{provider_of(lm.model)}/{lm.model}"
    known = chat_models().get(name)
    return known.window if known else None
