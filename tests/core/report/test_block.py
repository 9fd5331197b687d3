"""What stays in a saved notebook reads without kernel, styles or scripts, and does not change from run to run."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.report import mimebundle
from fleet_rlm.core.report.block import LIMIT
from fleet_rlm.core.report.lines import SIGNS
from fleet_rlm.core.tree import Tree

NAMES = ["auto", "direct", "exhausted", "failed", "stopped"]


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_style_script_or_address(golden: Callable[[str], Tree], name: str) -> None:
    html = mimebundle(golden(name))["text/html"]

    tags = set(re.findall(r"<(\w+)", html))
    assert not tags & {"style", "script", "link", "img", "iframe", "svg", "button"}
    assert not re.search(r"\b(?:style|src|on\w+)=", html)
    assert all(word.startswith("flt-") for named in re.findall(r'class="([^"]*)"', html) for word in named.split()
               if not word.startswith("language-"))  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_however_long_the_run_took(golden: Callable[[str], Tree], name: str) -> None:
    tree = golden(name)
    slower = copy.deepcopy(tree)
    for number, span in enumerate(slower.spans.values()):
        span.start += 7_000 * number
        span.end = span.end and span.end + 9_000 * number
    if slower.budget:
        slower.budget.spent = ev.Limits(
            calls=slower.budget.spent.calls, children=slower.budget.spent.children, seconds=99
        )

    assert mimebundle(slower) == mimebundle(tree)


@pytest.mark.parametrize("mime", ["text/html", "text/markdown", "text/plain"])
def test_every_form_holds_status_answer_and_spending(golden: Callable[[str], Tree], mime: str) -> None:
    text = mimebundle(golden("auto"))[mime]

    assert "answered" in text
    assert "412 per minute" in text
    assert "9 of 40" in text


@pytest.mark.parametrize("mime", ["text/html", "text/markdown", "text/plain"])
def test_every_form_says_what_went_wrong_and_who_answered(golden: Callable[[str], Tree], mime: str) -> None:
    assert "The model refused the key (401)" in mimebundle(golden("failed"))[mime]
    assert "stand-in, not a language model" in mimebundle(golden("exhausted"))[mime]


def test_the_tree_is_there_folded(golden: Callable[[str], Tree]) -> None:
    tree = golden("auto")

    html = mimebundle(tree)["text/html"]
    assert html.count("<details class=") == len(tree.spans)
    for level, span in tree.walk():
        assert f"<summary>{'&emsp;' * level}{SIGNS[span.status]} <b>{span.type}</b>" in html


def test_a_huge_run_keeps_to_the_limit() -> None:
    long = "<" * 60_000
    events: list[ev.Event] = [ev.RunStart(task=long, mode="auto", model="m")]
    for number in range(500):
        events += [
            ev.SpanStart(span=f"s{number}", type="code", name="cell", code=long),
            ev.SpanEnd(span=f"s{number}", status="error", output=long, error_type="E", error=long),
        ]
    events.append(ev.RunEnd(status="failed", answer={"text": long}, error_type="E", error=long))
    for seq, event in enumerate(events):
        event.run, event.seq = "r1", seq
    bundle = mimebundle(Tree(events))

    assert {mime: len(text) for mime, text in bundle.items() if len(text) > LIMIT} == {}
    assert "more in the run's log" in bundle["text/html"]
