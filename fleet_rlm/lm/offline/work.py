"""From a question, the variables and what has been done, the next cell: look, then compute or search, then answer.

The engine keeps no state: everything is read from the history in the prompt. A failed cell is answered by a simpler
way, a second failure by saying what failed; with no step left, all remaining cells are written as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet_rlm.lm.offline import table_cells, text_cells
from fleet_rlm.lm.offline.cells import Cell, joined, stage_of, write_cell
from fleet_rlm.lm.offline.schema import Seen, Table, phrases, read_look
from fleet_rlm.lm.offline.table_question import TableQuestion, leftover, read_table_question
from fleet_rlm.lm.offline.text_question import TextQuestion, read_text_question
from fleet_rlm.lm.offline.variables import Variable
from fleet_rlm.lm.offline.wording import refusal, unplaced

_STEP = re.compile(r"^=== Step \d+ ===$", re.MULTILINE)
_PARTS = re.compile(r"Code:\n```python\n(.*?)\n```\nOutput \([\d,]+ chars\):\n(.*)\Z", re.DOTALL)
_FAILED = re.compile(r"\[Error\]|^Traceback \(most recent call last\)|\[Type Error\]", re.MULTILINE)
_CUES = re.compile(
    r"\b(?:how|what|which|who|where|when|find|list|show|count|quote|top|compare|average|mean|median|total|sum|give|"
    r"most|least|share|percent|percentage|number of|tell|highest|lowest|largest|smallest|maximum|minimum|distinct|"
    r"per|first|last|is|are|was|were|do|does)\b",
    re.IGNORECASE,
)

_LITERAL = re.compile(r"\blines?\b.*\b(?:contain|mention|includ|match|with the words?\b)", re.IGNORECASE)
"""Questions about the wording of lines: a log's columns would tell less."""

READ_FROM = 8
"""Calls that must be left for sub-queries to be worth it: a quarter is for them, the rest must end the work."""
DIVIDE_FROM = 24
"""Calls that must be left for children: each takes three, and reading comes after them."""


@dataclass(frozen=True)
class Step:
    """One cell that has run."""

    code: str
    output: str

    @property
    def stage(self) -> str:
        return stage_of(self.code)

    @property
    def failed(self) -> bool:
        return bool(_FAILED.search(self.output))


@dataclass(frozen=True)
class Work:
    """The state of one question in one sandbox."""

    question: str
    variables: list[Variable]
    steps: list[Step]
    submit: str = "SUBMIT(answer="
    """The opening of the call that takes the answer."""
    last: bool = False
    """Whether this is the last cell that will run."""
    recursive: bool = False
    """Whether `sub_rlm_batched` exists in the sandbox."""
    calls: int = 0
    """Model calls left for the work and all below it, as the prompt says; 0 where it names none."""


def read_history(text: str) -> list[Step]:
    """The cells that ran, with their outputs, from dspy's rendering of the history."""
    parts = [_PARTS.search(part) for part in _STEP.split(text)[1:]]
    return [Step(part[1], part[2].strip()) for part in parts if part]


def next_cell(work: Work) -> Cell:
    """The cell to run next."""
    task = work.question.removeprefix(text_cells.FINDINGS).strip()
    if not _CUES.search(task):
        return _say(work, refusal())
    look = next((step for step in work.steps if step.stage == "look" and not step.failed), None)
    if look is None:
        return _first(work, task)
    seen = read_look(look.output)
    plan = _plan(work, task, seen)
    if isinstance(plan, str):
        return _say(work, refusal(plan))
    done = {step.stage for step in work.steps if not step.failed}
    failures = [step for step in work.steps if step.failed]
    if len(failures) > 2 or any(step.stage in ("answer", "compute", "search") for step in failures):
        return _say(work, refusal(f"The computation failed: {_reason(failures[-1])}."))
    remaining = [cell for cell in plan if cell.stage not in done]
    return joined(remaining) if work.last and len(remaining) > 1 else remaining[0]


def choose(question: str, seen: Seen) -> tuple[TableQuestion, Table] | TextQuestion | str:
    """The reading of the question that fits what there is: a table that has its columns, else the texts.

    A text is the reason why none does, with the words that would have been ignored.
    """
    text = read_text_question(question) if seen.texts else None
    if text is not None and not text.unused and _LITERAL.search(question):
        return text
    readings = [(reading, table) for table in seen.tables if (reading := read_table_question(question, table))]
    if readings:
        named = [one for one in readings if re.search(rf"\b{re.escape(one[1].name)}\b", question)]
        return (named or readings)[0]
    if text is not None and not text.unused:
        return text
    left = [leftover(question, table) for table in seen.tables]
    fewest = min(left, key=len) if left else list(text.unused) if text is not None else []
    return " ".join(part for part in (unplaced(fewest), _columns(seen)) if part)


def _first(work: Work, task: str) -> Cell:
    failures = [step for step in work.steps if step.failed]
    if failures or not work.variables:
        reason = f"The data cannot be read: {_reason(failures[-1])}." if failures else "There is no data to work on."
        return _say(work, refusal(reason))
    look = look_cell(work.variables, task)
    if not work.last:
        return look
    # One cell only: texts can be searched unseen, a table's columns cannot be known from its preview alone.
    question = read_text_question(task)
    if question is None or question.unused or any(variable.is_table for variable in work.variables):
        return _say(work, refusal("One step is too few: I must see the data before I can compute."))
    return joined([look, *_text_plan(work, task, question, Seen(texts=["data"]))])


def look_cell(variables: list[Variable], task: str) -> Cell:
    """Size, columns and known values of the tables; number and size of the texts."""
    lines, functions = ["docs = []"], ["documents"]
    files = sorted({name.lower() for name in re.findall(r"[\w/-]+\.[a-z]{2,5}\b", task)})
    for variable in variables:
        name, bound = variable.name, table_cells.bound_name(variable.name)
        tabular = f"describe({name!r}, {bound}, {phrases(task)!r})"
        if variable.is_table:
            functions += ["as_table", "describe"]
            lines += [f"{bound} = as_table({name})", tabular]
            continue
        functions.append("counted")
        lines.append(f"found = documents({name}, {name!r})")
        if files:
            lines.append(f"found = [doc for doc in found if doc[0].lower().endswith({tuple(files)!r})] or found")
        if variable.may_be_table or files:
            functions += ["as_table", "describe"]
            value = name if variable.may_be_table else "found[0][1] if len(found) == 1 else None"
            lines += [f"{bound} = as_table({value})", f"if {bound} is not None:\n    {tabular}"]
            if variable.may_be_table and variable.type != "str":
                # Records are no texts: their field names would be found as if they were words of them.
                plain = f"all(isinstance(item, str) for item in {name})" if variable.type != "dict" else "False"
                lines.append(f"    found = found if {plain} else []")
        lines.append("docs += found")
        size = "{sum(len(text) for _, text in found):,} characters"
        lines.append(f"if found:\n    print(f\"texts `{name}`: {{counted(len(found), 'documents')}}, {size}\")")
    lines.append("for path, text in sorted(docs, key=lambda doc: -len(doc[1]))[:5]:")
    lines.append("    print(f\"  {path}: {len(text):,} characters: {' '.join(text[:100].split())}\")")
    names = ", ".join(f"`{variable.name}`" for variable in variables)
    return write_cell("look", f"Look at {names} first: size, layout, samples.", "\n".join(lines), functions)


def _plan(work: Work, task: str, seen: Seen) -> list[Cell] | str:
    chosen = choose(task, seen)
    if isinstance(chosen, str):
        return chosen
    if isinstance(chosen, tuple):
        question, table = chosen
        return [table_cells.compute_cell(question, table), table_cells.answer_cell(question, table, work.submit)]
    return _text_plan(work, task, chosen, seen)


def _text_plan(work: Work, task: str, question: TextQuestion, seen: Seen) -> list[Cell]:
    child = work.question.startswith(text_cells.FINDINGS)
    failed = {step.stage for step in work.steps if step.failed}
    cells: list[Cell] = []
    divided = work.recursive and work.calls >= DIVIDE_FROM and not work.last and "divide" not in failed
    large = seen.characters > text_cells.DIVIDE_ABOVE and seen.documents >= 2 * text_cells.CHILDREN
    if text_cells.needs_search(question):
        alone = child or not (divided and large)
        cells.append(text_cells.search_cell(question, child=child) if alone else text_cells.divide_cell(question, task))
        if child:
            return [*cells, text_cells.findings_cell(question, work.submit)]
    reads = text_cells.needs_reading(question) and work.calls >= READ_FROM and "read" not in failed
    if reads:
        cells.append(text_cells.read_cell(question, task, min(12, work.calls // 4)))
    cells.append(text_cells.answer_cell(question, work.submit, read=reads))
    return cells


def _say(work: Work, text: str) -> Cell:
    return write_cell("answer", "No computation is needed for this.", f"{work.submit}{text!r})")


def _columns(seen: Seen) -> str:
    columns = [name for table in seen.tables for name in table.columns if name.strip("#")]
    return f"The columns are {', '.join(columns[:20])}." if columns else ""


def _reason(step: Step) -> str:
    lines = [line.strip() for line in step.output.splitlines() if line.strip()]
    return (lines[-1] if lines else "no output").removeprefix("[Error] ").removeprefix("ValueError: ").rstrip(".")[:300]
