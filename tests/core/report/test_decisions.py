"""A report tells what was asked, what was decided, by whom and when; the saved cell the same without times."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleet_rlm.core import events as ev
from fleet_rlm.core.report import html_page, mimebundle
from fleet_rlm.core.report.decisions import decisions_table
from fleet_rlm.core.tree import Tree

SECOND = 1_000_000
DAY = 86_400 * SECOND
FETCH = "Fetch https://example.com/handbook.html?"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def asked(*more: ev.Event, at: int = 0) -> Tree:
    """A run that asked one thing, and what happened then, a second apart."""
    begun = [
        ev.RunStart(task="t", mode="auto", model="m", approve="ask"),
        ev.SpanStart(span="s1", type="tool", name="fetch"),
        ev.ApprovalAsk(span="s1", question="Fetch it?", options=["once", "always", "no"], tool="fetch"),
    ]
    for seq, event in enumerate([*begun, *more]):
        event.run, event.seq, event.ts = "r1", seq, at + SECOND * seq
    return Tree([*begun, *more])


def rows(tree: Tree) -> list[list[str]]:
    """The texts in the cells of the table."""
    body = decisions_table(tree).partition("<tbody>")[2]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]
    return [[re.sub(r"<[^>]+>", " ", cell).strip() for cell in row] for row in cells]


def test_every_question_is_a_row_with_its_decision_time_and_person(golden: Callable[[str], Tree]) -> None:
    assert rows(golden("asked")) == [
        ["10:00:01", f"{FETCH}  load_document", "declined  it is behind a login", "20.0 s", "the user"],
        ["10:00:21", "Write to the buffer findings?  write_buffer", "allowed once", "20.0 s", "the user"],
        ["10:00:42", "Remove the buffer findings?  clear_buffer", "no answer", "", ""],
        ["10:01:43", "Remove the buffer findings?  clear_buffer", "allowed always", "20.0 s", "the user"],
    ]


def test_who_decided_is_named_where_a_server_knows_it() -> None:
    tree = asked(ev.ApprovalAnswer(span="s1", answer="once", by="ada"))
    assert rows(tree)[0][2:] == ["allowed once", "1.0 s", "ada"]
    assert "Fetch it? <b>allowed once</b> by ada" in html_page(tree)


def test_what_waits_and_what_nobody_answered_are_told_apart() -> None:
    assert rows(asked())[0][2:] == ["waits for an answer", "", ""]
    assert rows(asked(ev.RunEnd(status="stopped")))[0][2:] == ["no answer", "", ""]


def test_a_question_of_another_day_has_its_date() -> None:
    tree = asked()
    assert rows(tree)[0][0] == "00:00:02"
    tree.spans["s1"].asks[0].asked += DAY
    assert rows(tree)[0][0] == "1970-01-02 00:00:02"


def test_the_page_has_no_section_where_nothing_was_asked(golden: Callable[[str], Tree]) -> None:
    assert "Decisions" in html_page(golden("asked"))
    assert "Decisions" not in html_page(golden("auto"))


def test_a_saved_cell_tells_decisions_without_times(golden: Callable[[str], Tree]) -> None:
    html = mimebundle(golden("asked"))["text/html"]
    assert f"<p>{FETCH} <b>declined</b>: it is behind a login</p>" in html
    assert "10:00" not in html
    assert "20.0 s" not in html


def test_nothing_that_was_asked_or_answered_becomes_markup() -> None:
    tree = asked(ev.ApprovalAnswer(span="s1", answer=HOSTILE, note=HOSTILE, by=HOSTILE))
    tree.spans["s1"].asks[0].question = tree.spans["s1"].asks[0].tool = HOSTILE
    for html in (html_page(tree), mimebundle(tree)["text/html"]):
        assert not re.search("<(script|img)", html)
