"""One line per span, and a plain text that is the same for the same outcome."""

from __future__ import annotations

from collections.abc import Callable

from fleet_rlm.core.report import plain_lines, span_line
from fleet_rlm.core.report.lines import WIDTH, plain_text
from fleet_rlm.core.tree import SpanNode, Tree


def span(**fields: object) -> SpanNode:
    known: dict[str, object] = {
        "id": "s1", "parent": None, "depth": 0, "type": "code", "name": "cell", "seq": 0, "start": 0,
    }  # fmt: skip
    return SpanNode(**(known | fields))  # type: ignore[arg-type]


def test_every_span_is_one_indented_line(golden: Callable[[str], Tree]) -> None:
    lines = plain_lines(golden("auto"))

    assert len(lines) == len(golden("auto").spans)
    assert [len(line) - len(line.lstrip()) for line in lines][:4] == [0, 2, 4, 4]
    assert not [line for line in lines if "\n" in line or len(line.lstrip()) > WIDTH]


def test_a_cell_shows_its_telling_line_and_its_last_output() -> None:
    code = "import re\n# look\nhits = find(text)\nprint(len(hits))"

    assert span_line(span(code=code, stdout="a\n7\n", status="ok", end=1_500_000)) == (
        "✓ code cell hits = find(text) (+3 lines) → 7  1.5 s"
    )


def test_a_failed_span_shows_its_error_once() -> None:
    failed = span(status="error", error_type="KeyError", error="Traceback …\nKeyError: 'x'")

    assert span_line(failed) == "✗ code cell KeyError: 'x'"


def test_a_running_span_has_no_time() -> None:
    assert span_line(span(type="iteration", name="iteration 2")) == "○ iteration 2"


def test_without_times_no_line_depends_on_the_clock(golden: Callable[[str], Tree]) -> None:
    assert not [line for line in plain_lines(golden("auto"), times=False) if line.endswith((" s", " ms"))]


def test_plain_text_tells_task_status_answer_and_counts(golden: Callable[[str], Tree]) -> None:
    text = plain_text(golden("failed"))

    assert text.splitlines()[0] == "fleet · failed · openai/gpt-5-mini"
    assert "question: Summarise the incident reports" in text
    assert "(no answer)" in text
    assert text.splitlines()[-1].startswith("4 spans · model calls: 1 of 20 · tokens: unknown · cost: unknown")


def test_terminal_codes_of_generated_code_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in span_line(span(stdout="\x1b[31mred\x1b[0m \x1b]0;title\x07", status="ok"))
