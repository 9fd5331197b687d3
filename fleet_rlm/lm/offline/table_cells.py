"""The pandas code that answers a question over one table: keep the rows, compute, check, answer.

The look cell has bound `<variable>_table`. The code is what a person would write for this one question; no general
engine travels with it.
"""

from __future__ import annotations

from fleet_rlm.lm.offline.cells import Cell, write_cell
from fleet_rlm.lm.offline.conditions import Condition
from fleet_rlm.lm.offline.reading import in_words, measure_name
from fleet_rlm.lm.offline.schema import Table
from fleet_rlm.lm.offline.table_question import TableQuestion
from fleet_rlm.lm.offline.wording import LABEL

_METHODS = {
    "sum": "sum()", "mean": "mean()", "median": "median()", "min": "min()", "max": "max()", "std": "std()",
    "nunique": "nunique()",
}  # fmt: skip
_BUCKETS = {
    "minute": '.dt.floor("min")', "hour": '.dt.floor("h")', "day": '.dt.to_period("D")', "week": '.dt.to_period("W")',
    "month": '.dt.to_period("M")', "quarter": '.dt.to_period("Q")', "year": ".dt.year", "weekday": ".dt.day_name()",
    "hour of day": ".dt.hour",
}  # fmt: skip


def bound_name(variable: str) -> str:
    """The name under which the look cell binds a variable's table."""
    return f"{variable}_table"


def compute_cell(question: TableQuestion, table: Table) -> Cell:
    """Keep the rows and compute; grouped results are recomputed for the first group in another way."""
    frame = bound_name(table.name)
    lines = ["import pandas as pd", ""]
    lines += _kept(question, table, frame)
    if question.how in ("rows", "first", "last"):
        lines += _rows(question)
    elif question.grouped:
        lines += _groups(question, frame)
    elif question.how == "share":
        lines += ["value = len(rows)", f"print('share:', len(rows) / len({frame}))"]
    elif question.how == "count":
        lines += ["value = len(rows)", "print('count:', value)"]
    else:
        lines += [f"value = rows[{question.measure!r}]{_method(question)}", "print('value:', value)"]
        if question.how in ("min", "max"):
            lines += [f"print(rows[rows[{question.measure!r}] == value].head(3).to_string())"]
    return write_cell("compute", f"I read the question as: {in_words(question)}.", "\n".join(lines))


def answer_cell(question: TableQuestion, table: Table, submit: str) -> Cell:
    """Put the figures into words and submit them with the reading of the question and the label.

    `submit` opens the call that takes the answer: `SUBMIT(answer=` or `print(`.
    """
    frame, name, reading = bound_name(table.name), measure_name(question), in_words(question)
    if question.how in ("rows", "first", "last"):
        moment = question.how in ("first", "last")
        head = f'f"{question.how.capitalize()}: {{chosen[0][{question.time!r}]}}" if chosen else ""' if moment else '""'
        count = "len(chosen)" if moment or question.top else "len(rows)"
        call, function = f"report_rows(chosen, {count}, {head}, {reading!r})", "report_rows"
    elif question.grouped:
        rank = f"{question.ranked}, {question.rising}, {question.top}"
        call, function = f"report_groups(results, {name!r}, {rank}, {reading!r})", "report_groups"
    elif question.how == "share":
        call, function = f"report_share(len(rows), len({frame}), {reading!r})", "report_share"
    else:
        call, function = f"report_single(value, {name!r}, len(rows), len({frame}), {reading!r})", "report_single"
    body, functions = f"answer = {call}\n", [function]
    if question.how in ("min", "max") and not question.grouped:
        body += f"answer += evidence(rows[rows[{question.measure!r}] == value].head(3).to_dict('records'))\n"
        functions.append("evidence")
    body += f"{submit}answer + {chr(10) * 2 + LABEL!r})"
    return write_cell("answer", "The figures stand; compose and submit the answer.", body, functions)


def _kept(question: TableQuestion, table: Table, frame: str) -> list[str]:
    tests = [_test(one, frame, table.columns[one.column]) for one in question.where]
    if not tests:
        return [f"rows = {frame}"]
    joined = " & ".join(f"({test})" for test in tests)
    return [f"kept = {joined}", f"rows = {frame}[kept]", f'print("rows kept:", len(rows), "of", len({frame}))']


def _test(one: Condition, frame: str, kind: str) -> str:
    column = f"{frame}[{one.column!r}]"
    if one.test in ("missing", "present"):
        return f"{column}.{'isna' if one.test == 'missing' else 'notna'}()"
    if one.test == "in":
        return f"{column}.isin({list(one.value) if isinstance(one.value, tuple) else [one.value]!r})"
    if one.test == "contains":
        return f"{column}.astype(str).str.contains({str(one.value)!r}, case=False, regex=False)"
    if one.test in ("starts", "ends"):
        return f"{column}.astype(str).str.lower().str.{one.test}with({str(one.value).lower()!r})"
    if kind == "time":
        # A zone-aware column compares only with a zone-aware moment; `tz=None` is right for the others.
        return f"{column} {one.test} pd.Timestamp({one.value!r}, tz={column}.dt.tz)"
    return f"{column} {one.test} {one.value!r}"


def _method(question: TableQuestion) -> str:
    return f".quantile({question.quantile})" if question.how == "p95" else f".{_METHODS[question.how]}"


def _groups(question: TableQuestion, frame: str) -> list[str]:
    lines: list[str] = []
    source = frame if question.how == "share" else "rows"
    keys = [repr(column) for column in question.by]
    if question.bucket:
        moment = f"{source}[{question.time!r}].dt.tz_localize(None)"
        lines.append(f"part = {moment}{_BUCKETS[question.bucket]}.rename({question.bucket!r})")
        keys.append("part")
    key = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
    if question.how == "share":
        lines.append(f"parts = {frame}.assign(kept=kept).groupby({key}, observed=True)['kept']")
        lines.append("groups = pd.DataFrame({'value': parts.mean() * 100, 'rows': parts.size()})")
    else:
        lines.append(f"parts = rows.groupby({key}, observed=True)")
        figure = "parts.size()" if question.how == "count" else f"parts[{question.measure!r}]{_method(question)}"
        lines.append(f"groups = pd.DataFrame({{'value': {figure}, 'rows': parts.size()}})")
    if question.ranked:
        lines.append(f"groups = groups.sort_index().sort_values('value', ascending={question.rising}, kind='stable')")
    lines.append("print(groups.head(12).to_string())")
    lines.append(
        "results = [(' / '.join(map(str, key)) if isinstance(key, tuple) else str(key), value, int(size))\n"
        "           for key, value, size in zip(groups.index, groups['value'].tolist(), groups['rows'].tolist())]"
    )
    if len(keys) == 1 and question.by and question.how not in ("count", "share"):
        again = f"rows.loc[rows[{question.by[0]!r}] == groups.index[0], {question.measure!r}]{_method(question)}"
        lines.append(f"if len(groups):\n    print('check, first group computed alone:', {again})")
    return lines


def _rows(question: TableQuestion) -> list[str]:
    if question.how in ("first", "last"):
        lines = [f"order = rows[{question.time!r}].dropna().sort_values(kind='stable')"]
        lines.append(f"chosen = rows.loc[order.index[{'-1:' if question.how == 'last' else ':1'}]]")
    elif question.measure and (question.ranked or question.top):
        lines = [f"chosen = rows.sort_values({question.measure!r}, ascending={question.rising}, kind='stable')"]
        lines.append(f"chosen = chosen.head({question.top or 1})")
    else:
        lines = [f"chosen = rows.head({question.top or 20})"]
    return [*lines, "print(chosen.to_string())", "chosen = chosen.to_dict('records')"]
