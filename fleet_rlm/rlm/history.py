"""What an RLM's model sees of its own work, and how that stays within the window.

The history only grows at its end, so that a provider's prompt cache keeps hitting, until it would fill most of the
window; then older outputs are cut, nothing is dropped, and the cut ones stay whole in the sandbox as `outputs[i]`
(the trace has them anyway).
"""

from __future__ import annotations

from dspy.primitives.repl_types import REPLEntry, REPLHistory

WINDOW_SHARE = 0.6
"""Part of the window the history may fill before older outputs are cut; instructions and the reply need the rest."""

CUTS = ((2_000, 3), (500, 2), (100, 1))
"""At each attempt to fit: characters left of a cut output, and how many of the latest outputs stay whole."""

OUTPUTS = "outputs"
"""The sandbox's variable with every output so far, whole."""


def length(history: REPLHistory) -> int:
    """Characters the history takes in a prompt."""
    shown = history.max_output_chars
    return sum(len(e.reasoning) + len(e.code) + min(len(e.output), shown) + 60 for e in history.entries)


def shortened(history: REPLHistory, chars: int, whole: int) -> REPLHistory:
    """The history with all but the latest `whole` outputs cut to `chars`; cut ones say where the whole text is."""
    entries = history.entries
    cut_below = len(entries) - whole
    return REPLHistory(
        entries=[_cut(entry, index, chars) if index < cut_below else entry for index, entry in enumerate(entries)],
        max_output_chars=history.max_output_chars,
    )


def _cut(entry: REPLEntry, index: int, chars: int) -> REPLEntry:
    mark = f"\n[... cut; the whole output is {OUTPUTS}[{index}]]"
    if len(entry.output) <= chars + len(mark):
        return entry
    return REPLEntry(reasoning=entry.reasoning, code=entry.code, output=entry.output[:chars] + mark)


def repeats(history: REPLHistory, code: str, output: str) -> bool:
    """Whether the latest step was this very cell with this very output."""
    last = history.entries[-1] if history.entries else None
    return last is not None and last.code == code and output in last.output
