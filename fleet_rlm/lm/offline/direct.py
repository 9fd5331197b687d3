"""Answering from the text of small values in the prompt itself, by the same readings, without executing any code.

The text is one block per variable, its name in backticks before it; a directory's files are headed `--- path`.
"""

from __future__ import annotations

import ast
import re
from types import NoneType
from typing import Any

from fleet_rlm.lm.offline import guest_reports as reports
from fleet_rlm.lm.offline import guest_texts as texts
from fleet_rlm.lm.offline import text_cells
from fleet_rlm.lm.offline.extraction import extract
from fleet_rlm.lm.offline.guest_tables import rows_of_text
from fleet_rlm.lm.offline.schema import Seen, phrases
from fleet_rlm.lm.offline.table_rows import Row, evaluate, read_frame, table_of
from fleet_rlm.lm.offline.text_question import TextQuestion, enough, key_weights
from fleet_rlm.lm.offline.wording import labelled, refusal
from fleet_rlm.lm.offline.words import sections
from fleet_rlm.lm.offline.work import choose

_BLOCK = re.compile(r"^`(\w+)`:\n", re.MULTILINE)
_FILE = re.compile(r"^--- (\S.*)\n", re.MULTILINE)
_FIGURE = (int, float, NoneType)

NO_DATA = "(no data was given)"
"""What the agent writes where there is no context."""


def answer(question: str, context: str) -> str:
    """The labelled answer, or the refusal."""
    if context.strip() in ("", NO_DATA):
        return refusal("No data was given with the question.")
    seen, docs, rows = Seen(), [], {}
    for name, text in _blocks(context):
        frame = read_frame(text)
        value = _value(text) if frame is None else None
        columns, records = frame or ([], _records(value))
        if records or frame is not None:
            rows[name] = records
            seen.tables.append(table_of(name, records, phrases(question), columns))
        if frame is None and (isinstance(value, str) or not records or _are_texts(value)):
            found = _documents(name, value)
            docs += found
            seen.texts += [name] if found else []
    chosen = choose(question, seen)
    if isinstance(chosen, str):
        return refusal(chosen)
    if isinstance(chosen, tuple):
        reading, table = chosen
        return labelled(evaluate(reading, rows[table.name]))
    try:
        return _answer_texts(chosen, question, texts.only(docs, chosen.files) if chosen.files else docs)
    except ValueError as error:
        return refusal(f"{str(error).capitalize()}.")


def _blocks(context: str) -> list[tuple[str, str]]:
    blocks = [(head[1], body.rstrip("\n")) for head, body in sections(_BLOCK, context)]
    return blocks or ([("context", context.strip("\n"))] if context.strip() else [])


def _value(text: str) -> Any:
    """A Python or JSON literal as what it is; anything else stays text."""
    if text[:1] in "[{(" and text[:1]:
        # An array's numbers are written as Python does, and `nan` is no literal.
        plain = text if re.search(r"['\"]", text) else re.sub(r"\bnan\b", "None", text)
        try:
            return _literal(plain)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    return text


def _literal(text: str) -> Any:
    """The literal's value; asked once more where another thread built a tree meanwhile.

    Python up to 3.11.7 counts the depth of all threads' trees in one place (python/cpython#106905), and the one that
    was overtaken is told a `SystemError`.
    """
    try:
        return ast.literal_eval(text)
    except SystemError:
        return ast.literal_eval(text)


def _records(value: Any) -> list[Row]:
    if isinstance(value, str):
        return rows_of_text(value)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return [dict(row) for row in value]
    if isinstance(value, list) and value and all(isinstance(row, str) for row in value):
        return rows_of_text("\n".join(value))
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return [dict(zip(value, cells, strict=False)) for cells in zip(*value.values(), strict=False)]
    if isinstance(value, list) and value and all(isinstance(cell, _FIGURE) for cell in value):
        return [{"value": cell} for cell in value]
    if isinstance(value, list) and value and all(isinstance(row, list) and row for row in value):
        even = len({len(row) for row in value}) == 1
        if even and all(isinstance(cell, _FIGURE) for row in value for cell in row):
            return [{f"column_{at}": cell for at, cell in enumerate(row)} for row in value]
    return []


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _documents(name: str, value: Any) -> list[tuple[str, str]]:
    files = sections(_FILE, value) if isinstance(value, str) else []
    if files:
        return [(head[1].strip(), body.rstrip("\n")) for head, body in files]
    return texts.documents(value, name)


def _answer_texts(question: TextQuestion, task: str, docs: list[tuple[str, str]]) -> str:
    what, noun = question.what, question.noun
    if question.family == "size":
        by = "lines" if question.unit == "lines" else "characters"
        return labelled(reports.report_sizes(docs, by, question.top, question.rising))
    if question.family == "totals":
        return labelled(reports.report_totals(docs))
    if question.family == "value":
        hits = texts.best_lines(docs, key_weights(question), 6)
        if not hits or hits[0]["score"] < enough(question):
            return refusal("No line of the data holds enough of the question's words.")
        return labelled(reports.report_value(hits, [extract(task, hit["text"]) for hit in hits], enough(question)))
    hits = _hits(question, docs)
    counts = texts.tally(hits)
    if question.family == "read":
        asked = f"{question.attribute} ({task})"
        values = [extract(asked, hit["text"], question.attribute) for hit in hits]
        return labelled(reports.report_readings(hits, values, what, noun, question.attribute))
    told = {
        "count": lambda: reports.report_count(counts, hits, what, noun, question.unit, question.each),
        "where": lambda: reports.report_where(counts, hits, what, noun),
        "quote": lambda: reports.report_quotes(counts, hits, what, text_cells.QUOTES),
        "rank": lambda: reports.report_rank(counts, what, noun, question.top, question.rising),
        "moment": lambda: reports.report_moment(texts.moments(hits), what, not question.rising),
    }
    return labelled(told[question.family]())


def _hits(question: TextQuestion, docs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    if text_cells.by_statement(question):
        return texts.calls(docs, list(question.terms))
    if not question.simple:
        return texts.select(docs, question.needed(), question.excluded(), question.whole)
    return texts.search(docs, question.pattern())
