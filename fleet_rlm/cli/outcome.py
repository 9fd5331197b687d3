"""What is printed once a run is over: the answer with its evidence, what it cost, the spans, where the report lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from fleet_rlm.core.report import facts

if TYPE_CHECKING:
    from fleet_rlm.core.run import Run

COLUMNS = ("span", "parent", "depth", "kind", "name", "status", "duration_s", "llm_calls", "tokens_in", "output")
"""The columns of `run.spans()` that are shown of its head; all of them do not fit a line."""


def print_outcome(run: Run, console: Console, *, report: Path | None, data: str = "") -> None:
    """Everything about a run that has ended.

    Args:
        report: where its HTML report lies, if it was written.
        data: what it answered over, in words.
    """
    print_answer(run, console)
    console.print(Rule("spent", align="left", style="dim"))
    rows = [*facts.spent(run.tree), *([("answered over", data)] if data else [])]
    for what, figure in [*rows, ("sent to the model", f"{facts.sent(run.tree):,} characters")]:
        console.print(f"{what:<20}{figure}", highlight=False, markup=False)
    console.print(Text(facts.isolation(run.tree), style="dim"))
    _print_spans(run, console)
    if report is not None:
        console.print(f"\nreport  {report}", soft_wrap=True, highlight=False)
    if run.log.directory is not None:
        console.print(f"log     {run.log.directory / 'events.jsonl'}", soft_wrap=True, highlight=False)


def print_answer(run: Run, console: Console) -> None:
    """The answer, or the sentence that says why there is none."""
    label = f"answer by {run.tree.start.model if run.tree.start else 'unknown'}"
    label += f" ({facts.OFFLINE})" if run.offline else ""
    console.print(Rule(label, align="left", style="dim"))
    if run.answer is not None:
        # As it is: Markdown is readable as text, and rendered it would lose the lines that evidence is quoted in.
        text = Text(facts.printable(facts.answer_text(run.answer)))
        console.print(text, soft_wrap=not console.is_terminal)
    if run.status != "ok":
        console.print(Text(f"{facts.STATUS[run.status]}: {facts.printable(run.error or 'no answer')}", style="red"))


def as_json(run: Run, report: Path | None) -> bytes:
    """The outcome as one JSON object."""
    told: dict[str, Any] = {
        "run": run.id,
        "status": run.status,
        "answer": run.answer,
        "error": run.error,
        "model": run.tree.start.model if run.tree.start else None,
        "offline": run.offline,
        "usage": run.usage,
        "budget": {"spent": run.budget.spent, "remaining": run.budget.remaining},
        "log": str(run.log.directory / "events.jsonl") if run.log.directory else None,
        "report": str(report) if report else None,
    }
    return msgspec.json.format(msgspec.json.encode(told, enc_hook=repr), indent=2)


def _print_spans(run: Run, console: Console) -> None:
    frame = run.spans()
    title = f"run.spans().head() of {len(frame)} rows x {len(frame.columns)} columns"
    console.print(Rule(title, align="left", style="dim"))
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in COLUMNS:
        table.add_column(name, no_wrap=True, max_width=24, overflow="ellipsis")
    for row in frame.head()[list(COLUMNS)].astype("string").fillna("<NA>").itertuples(index=False):
        table.add_row(*(facts.one_line(value, 60) for value in row))
    console.print(table)
