"""The past of a span: whole, numbered anew, and spent by somebody else."""

from __future__ import annotations

import pytest

from fleet_rlm.core import events as ev
from fleet_rlm.core.journal import Journal
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.past import prefix
from tests.core.recorded import journal, recorded, span


def test_the_past_of_a_span_is_what_began_before_it_whole_and_spent_by_somebody_else() -> None:
    log = recorded()
    log.emit(ev.BudgetChange(spent=ev.Limits(calls=4), remaining=ev.Limits()))
    cut = span(log, "llm", 2)  # the second query
    past = prefix(log.events_since(0), cut)
    tree = Journal(past).tree
    assert [event.seq for event in past] == list(range(len(past)))
    assert [(node.type, node.end is None) for node in tree.spans.values()] == [
        ("turn", True),
        ("step", True),
        ("llm", False),
        ("tool", True),
        ("code", True),
        ("llm", False),
    ]
    assert tree.usage == ev.Usage()
    assert tree.spans[span(log, "llm")].attrs["used_before"]["llm_calls"] == 1
    assert not any(isinstance(event, ev.BudgetChange) for event in past)
    assert log.events_since(0)[3].span is not None  # the originals are as they were
    assert journal(log).tree.usage.llm_calls == 4
    with pytest.raises(KeyError):
        prefix(log.events_since(0), "s99")


def test_what_ran_beside_a_span_and_began_before_it_is_kept_to_its_end() -> None:
    log = RunLog("r1")
    log.emit(ev.SpanStart(span="s1", type="code", name="c"))
    for number in (2, 3):
        log.emit(ev.SpanStart(span=f"s{number}", parent="s1", type="llm", name="query"))
    for number in (3, 2):
        log.emit(ev.SpanEnd(span=f"s{number}", status="ok", output="late"))
    past = Journal(prefix(log.events_since(0), "s3")).tree
    assert (past.spans.keys(), past.spans["s2"].output) == ({"s1", "s2"}, "late")
