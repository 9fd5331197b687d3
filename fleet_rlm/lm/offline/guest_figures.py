"""Functions that turn computed figures into the words of an answer; written into code cells, and called in process.

`reading` says in words how the question was understood: it closes every answer, so that a misreading can be seen.
"""

from __future__ import annotations

from typing import Any


def figure(value: Any) -> str:
    """A number as an answer writes it: integers plain, others with up to four decimals; no number is `missing`."""
    if value is None or value != value:
        return "missing"
    if isinstance(value, (bool, str)):
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return str(int(number)) if number.is_integer() else f"{number:.4f}".rstrip("0")


def rows_of(count: int) -> str:
    """`1 row`, `2 rows`."""
    return "1 row" if count == 1 else f"{count} rows"


def report_single(value: Any, name: str, kept: int, total: int, reading: str) -> str:
    """One figure with the rows it stands on."""
    if kept == 0:
        return f"0: no row fits ({rows_of(total)} in all).\nRead as: {reading}."
    head = rows_of(int(value)) if name == "count" else f"{figure(value)} ({name})"
    return f"{head}, from {kept} of {rows_of(total)}.\nRead as: {reading}."


def report_share(kept: int, total: int, reading: str) -> str:
    """A share in percent with both counts."""
    share = figure(100 * kept / total) + "%" if total else "missing"
    return f"{share}: {kept} of {rows_of(total)}.\nRead as: {reading}."


def report_groups(
    results: list[tuple[Any, Any, int]], name: str, ranked: bool, rising: bool, top: int, reading: str
) -> str:
    """Groups as (key, value, rows), already in order; the best first in words when one is asked for."""
    if not results:
        return f"No row fits.\nRead as: {reading}."
    word = "lowest" if rising else "highest"
    lines = [f"- {key}: {figure(value)} ({rows_of(rows)})" for key, value, rows in results]
    best = figure(results[0][1])
    if top == 1:
        ties = [str(key) for key, value, _ in results if figure(value) == best]
        head = f"{' and '.join(ties[:5])} {'has' if len(ties) == 1 else 'have'} the {word} {name}: {best}."
        return "\n".join([head, "Evidence, in order:", *lines[:5], f"\nRead as: {reading}."])
    shown = lines[: top or 100]
    head = f"{name} of {len(results)} groups:"
    if top and ranked:
        head = f"{len(shown)} groups with the {word} {name}:"
    elif len(results) == 2:
        head += " " + difference(*results)
    rest = [f"- and {len(lines) - len(shown)} more"] if len(lines) > len(shown) and not top else []
    return "\n".join([head, *shown, *rest, f"\nRead as: {reading}."])


def difference(one: tuple[Any, Any, int], other: tuple[Any, Any, int]) -> str:
    """Which of two groups is higher, and by how much."""
    low, high = sorted((one, other), key=lambda group: group[1])
    if low[1] == high[1]:
        return "they are equal."
    return f"{high[0]} is higher than {low[0]} by {figure(high[1] - low[1])}."


def evidence(rows: list[dict[str, Any]]) -> str:
    """Rows as evidence lines."""
    return "".join("\nEvidence: " + ", ".join(f"{key}={figure(cell)}" for key, cell in row.items()) for row in rows)


def report_rows(rows: list[dict[str, Any]], count: int, head: str, reading: str) -> str:
    """The rows themselves, at most twenty of them."""
    lines = ["- " + ", ".join(f"{key}={figure(value)}" for key, value in row.items()) for row in rows[:20]]
    more = [f"- and {count - len(lines)} more"] if count > len(lines) else []
    return "\n".join([head or f"{rows_of(count)}:", *lines, *more, f"\nRead as: {reading}."])
