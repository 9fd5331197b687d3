"""The offline stand-in: a rule-based engine behind the name `fleet/offline`, for machines without an account.

It reads the question and the variable descriptions in the prompt, writes RLM code that computes the answer, reads the
outputs and answers; bare sub-queries are answered by rules. It is not a language model, and every answer says so.
This room knows prompts and dspy's engine contract, nothing of sandboxes, runs or notebooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_rlm.lm.offline.wording import LABEL, NAME

if TYPE_CHECKING:
    import dspy

__all__ = ["LABEL", "NAME", "offline_lm"]


def offline_lm() -> dspy.LM:
    """The stand-in as a `dspy.LM`: no network, no cost, deterministic; token counts are unknown, not zero."""
    import dspy  # heavy: more than a second, and `%load_ext` must not pay for it

    from fleet_rlm.lm.offline.engine import AsyncOfflineEngine, OfflineEngine

    engine = OfflineEngine()
    return dspy.LM(NAME, engine=engine, async_engine=AsyncOfflineEngine(engine), cache=False, num_retries=0)
