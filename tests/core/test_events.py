"""Event v1 on the wire: what is written is read back, and later logs can be read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.core import events as ev

ONE_OF_EACH: list[ev.Event] = [
    ev.RunStart(
        task="why?",
        mode="agent",
        model="openai/gpt-4o",
        sub_model=None,
        offline=False,
        budget=ev.Limits(calls=100, depth=2),
        context=[ev.Variable(name="logs", type="str", size="3 characters", preview="abc")],
    ),
    ev.RunResume(reopened=["s1"], model="openai/gpt-4o", budget=ev.Limits(calls=120, depth=2)),
    ev.RunEnd(status="exhausted", answer={"rows": [1, 2.5, None, True]}, error="no calls are left"),
    ev.SpanStart(span="s1", type="llm", name="decide", parent=None, depth=1, attrs={"model": "m"}, input="[user]\nhi"),
    ev.SpanEnd(span="s1", status="error", usage=ev.Usage(llm_calls=1, tokens_in=3), error_type="E", error="e"),
    ev.Delta(span="s1", channel="stdout", text="é 漢字 \u2028 \x00"),
    ev.Display(span="s1", mimebundle={"text/html": "<b>x</b>"}),
    ev.Artifact(id="a1", name="x.csv", mime="text/csv", bytes=3, sha256="00", path="artifacts/a1-x.csv"),
    ev.BudgetChange(spent=ev.Limits(calls=1), remaining=ev.Limits(calls=99)),
    ev.LimitChange(span="s1", budget=ev.Limits(calls=60, depth=2), calls=3),
    ev.SandboxState(state="started", backend="local", tier="confined", guarantees={"network": "seccomp"}, missing=[]),
    ev.ApprovalAsk(question="go on?", options=["yes", "no"]),
    ev.ApprovalAnswer(answer="yes"),
    ev.Note(level="warning", text="careful"),
]


def kind_of(event: ev.Event) -> str:
    return str(type(event).__struct_config__.tag)


def test_every_kind_but_the_unknown_one_is_covered_here() -> None:
    assert {type(event) for event in ONE_OF_EACH} | {ev.Unknown} == set(ev.AnyEvent.__args__)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=kind_of)
def test_what_is_written_is_read_back(event: ev.Event) -> None:
    event.run, event.seq, event.ts = "r1", 7, 1_763_800_000_000_001
    assert ev.decode(ev.encode(event)) == event


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=kind_of)
def test_every_event_has_the_envelope_and_no_line_break(event: ev.Event) -> None:
    line = ev.encode(event)
    assert b"\n" not in line
    told = json.loads(line)
    assert {"kind", "v", "run", "seq", "ts", "span"} <= told.keys()
    assert (told["kind"], told["v"]) == (kind_of(event), 1)
    assert ev.to_dict(event) == told


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_answer_is_read_back(answer: Any) -> None:
    event = ev.RunEnd(run="r", seq=0, status="ok", answer=answer)
    assert ev.decode(ev.encode(event)) == event


def test_an_answer_json_does_not_know_is_written_as_its_repr() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd>"

    assert ev.decode(ev.encode(ev.RunEnd(run="r", seq=0, status="ok", answer=[Odd()]))).answer == ["<odd>"]  # type: ignore[attr-defined]


def test_a_kind_of_a_later_version_keeps_its_place() -> None:
    line = b'{"kind":"telemetry.heat","v":1,"run":"r1","seq":4,"ts":9,"span":"s2","celsius":41.5}'
    assert ev.decode(line) == ev.Unknown(run="r1", seq=4, ts=9, span="s2")


def test_a_field_of_a_later_version_is_ignored() -> None:
    line = b'{"kind":"note","v":1,"run":"r1","seq":4,"ts":9,"span":null,"level":"info","text":"hi","colour":"teal"}'
    assert ev.decode(line) == ev.Note(run="r1", seq=4, ts=9, level="info", text="hi")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"kind":"note","v":2,"run":"r","seq":0,"ts":0}', "event version 2 is not known .* upgrade it"),
        (b"not json", "malformed"),
        (b'{"kind":"note"}', "missing required field"),
        (b'{"kind":"note","v":1,"run":"r","seq":0,"ts":0,"level":"shout","text":""}', "Invalid enum value"),
        (b'{"kind":"note","v":1,"run":"r","seq":0,"ts":-1,"level":"info","text":""}', ">= 0"),
        (b'{"kind":"delta","v":1,"run":"r","seq":0,"ts":0,"channel":"text","te', "truncated"),
    ],
)
def test_what_is_no_event_is_refused(line: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ev.decode(line)


def test_usage_is_summed_and_what_one_side_does_not_know_stays_unknown() -> None:
    one = ev.Usage(llm_calls=1, tokens_in=10, tokens_out=2, tokens_cached=4, cost_usd=0.5)
    two = ev.Usage(llm_calls=2, tokens_in=5, tokens_out=1)
    assert one + two == ev.Usage(llm_calls=3, tokens_in=15, tokens_out=3, tokens_cached=None, cost_usd=None)


def test_a_usage_without_calls_adds_nothing_and_hides_nothing() -> None:
    one = ev.Usage(llm_calls=1, tokens_in=10, cost_usd=0.5)
    assert one + ev.Usage() == ev.Usage() + one == one
    assert ev.Usage().cost_usd is None


counts = some.none() | some.integers(0, 1000)
usages = some.builds(ev.Usage, llm_calls=some.integers(0, 3), tokens_in=counts, tokens_out=counts, tokens_cached=counts)


@given(usages, usages, usages)
def test_sums_do_not_depend_on_how_calls_are_grouped(a: ev.Usage, b: ev.Usage, c: ev.Usage) -> None:
    left, right = (a + b) + c, a + (b + c)
    assert left == right or not (left.llm_calls or right.llm_calls)


def test_the_schema_names_every_kind() -> None:
    kinds = {kind_of(event) for event in ONE_OF_EACH} | {"unknown"}
    schema = ev.json_schema()
    assert set(schema["discriminator"]["mapping"]) == kinds
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema
