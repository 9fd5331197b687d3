"""What the stand-in does when cells fail, steps run out, or nothing fits."""

from __future__ import annotations

from dspy.primitives.repl_types import REPLHistory

from fleet_rlm.lm.offline.cells import stage_of
from fleet_rlm.lm.offline.variables import Variable
from fleet_rlm.lm.offline.wording import CANNOT, LABEL
from fleet_rlm.lm.offline.work import Step, Work, next_cell, read_history
from tests.lm.offline.bench import solve

PAGES = Variable("pages", "dict", '{"a.txt": "x"}')
LOOKED = Step("# stage: look\n...", "texts `pages`: 90 documents, 9000000 characters")
TOLL = "Which documents mention a toll, and what amount do they name?"


def stages(*steps: Step, **given: object) -> str:
    work = Work(TOLL, [PAGES], list(steps), recursive=True, calls=50)
    for name, value in given.items():
        object.__setattr__(work, name, value)
    return next_cell(work).stage


def test_history_is_read_back_as_dspy_writes_it() -> None:
    history = REPLHistory().append(reasoning="r", code="# stage: look\nprint('```')", output="a\n=== b ===\nc")
    history = history.append(code="x = 1", output="[Error] boom")
    steps = read_history(history.format())
    assert [step.output for step in steps] == ["a\n=== b ===\nc", "[Error] boom"]
    assert [step.stage for step in steps] == ["look", ""]
    assert [step.failed for step in steps] == [False, True]
    assert read_history(REPLHistory().format()) == []


def test_the_usual_way() -> None:
    assert stages() == "look"
    assert stages(LOOKED) == "divide"
    assert stages(LOOKED, Step("# stage: divide", "2 findings")) == "read"
    assert stages(LOOKED, Step("# stage: divide", ""), Step("# stage: read", "")) == "answer"


def test_failed_children_are_replaced_by_a_search_of_ones_own() -> None:
    failed = Step("# stage: divide", "[Error] BudgetExhausted: no child is left")
    assert stages(LOOKED, failed) == "search"


def test_failed_readings_leave_the_quotes() -> None:
    failed = Step("# stage: read", "[Error] QueryError: 3 of 3 sub-queries failed")
    work = Work(TOLL, [PAGES], [LOOKED, Step("# stage: search", "3 lines"), failed], calls=50)
    cell = next_cell(work)
    assert cell.stage == "answer"
    assert "report_quotes" in cell.code
    assert "values" not in cell.code.rpartition("answer =")[2]


def test_a_small_budget_is_spent_on_the_answer_first() -> None:
    searched = Step("# stage: search", "3 lines")
    assert stages(LOOKED, calls=12) == "search"
    assert stages(LOOKED, searched, calls=12) == "read"
    assert stages(LOOKED, searched, calls=5) == "answer"
    assert stages(LOOKED, searched, calls=0) == "answer"


def test_a_failed_search_is_told_with_its_reason() -> None:
    failed = Step("# stage: search", "[Error] Traceback ...\nMemoryError: too large")
    cell = next_cell(Work(TOLL, [PAGES], [LOOKED, failed]))
    assert "MemoryError: too large" in cell.code
    assert LABEL in cell.code


def test_unreadable_data_is_told_with_its_reason() -> None:
    failed = Step("# stage: look", "[Error] PermissionError: no")
    assert "PermissionError: no" in next_cell(Work(TOLL, [PAGES], [failed])).code


def test_the_last_step_does_all_that_is_left() -> None:
    docs = {"a.txt": "The toll is 5 crowns.\nnothing", "b.txt": "The toll is 6 crowns."}
    for steps in (1, 2, 3, 4):
        solved = solve("Which documents mention a toll, and what amount do they name?", iterations=steps, pages=docs)
        assert "a.txt: 5" in solved.bare
        assert "b.txt: 6" in solved.bare
        assert len(solved.codes) == steps


def test_one_step_is_too_few_for_a_table_and_that_is_said() -> None:
    solved = solve("What is the average price?", iterations=2, sales=[{"price": 2}, {"price": 4}])
    assert solved.bare.startswith("3 (mean of price)")
    import pandas as pd

    solved = solve("What is the average price?", iterations=1, sales=pd.DataFrame({"price": [2, 4]}))
    assert solved.bare.startswith(CANNOT)
    assert "One step is too few" in solved.bare


def test_what_is_outside_the_families_is_refused_with_what_would_work() -> None:
    for question in ("Write a poem", "Hello!", "Why is the sky blue?", "Translate a.txt to French"):
        text = solve(question, pages={"a.txt": "sky and sea"}).bare
        assert text.startswith(CANNOT)
        assert "I can search" in text


def test_the_table_that_has_the_columns_is_chosen() -> None:
    sales, staff = [{"price": 2}, {"price": 4}], [{"name": "Bo", "age": 30}]
    assert solve("What is the average age?", sales=sales, staff=staff).bare.startswith("30 ")
    assert solve("What is the average price?", staff=staff, sales=sales).bare.startswith("3 ")


def test_stages_of_joined_cells_are_the_last_one() -> None:
    assert stage_of("# stage: look\nx\n\n# stage: answer\ny") == "answer"
    assert stage_of("print(1)") == ""
