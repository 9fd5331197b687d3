"""The closing half of an error sentence: what the user probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean a or b?` for up to three close names, case aside; empty when nothing is close."""
    import difflib  # only once there is a mistake

    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(by_folded[name] for name in close)}?" if close else ""
