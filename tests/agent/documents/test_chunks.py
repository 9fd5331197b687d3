"""Chunks: nothing is lost where nothing may be, and cuts are where they should be."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents.chunks import chunks
from fleet_rlm.agent.patterns import BadPattern

LINES = st.lists(
    st.sampled_from(
        ["# Head", "## Sub", "plain é", "2024-01-02T03:04:05 said", "  at line 3", "=== a.txt ===", "", "#no"]
    )
).map("\n".join)


@given(text=st.text() | LINES, size=st.integers(1, 40), strategy=st.sampled_from(["size", "headers", "timestamps"]))
def test_the_chunks_joined_are_the_text(text: str, size: int, strategy: Any) -> None:
    made = chunks(text, strategy, size=size)
    assert "".join(chunk.text for chunk in made) == text
    assert all(0 < len(chunk.text) <= size for chunk in made)
    assert all(text[chunk.start :].startswith(chunk.text) for chunk in made)


@given(text=st.text(min_size=1), size=st.integers(2, 20), data=st.data())
def test_chunks_that_overlap_cover_the_text_and_repeat_so_much(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    made = chunks(text, "size", size=size, overlap=overlap)
    assert made[0].text + "".join(chunk.text[overlap:] for chunk in made[1:]) == text
    assert all(before.text[-overlap:] == after.text[:overlap] for before, after in itertools.pairwise(made) if overlap)


@given(
    value=st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans()))
    | st.lists(st.integers() | st.text()),
    size=st.integers(1, 50),
)
def test_json_chunks_are_json_and_hold_the_whole_value(value: Any, size: int) -> None:
    parts = [json.loads(chunk.text) for chunk in chunks(json.dumps(value), "json_keys", size=size)]
    if isinstance(value, dict):
        assert {key: item for part in parts for key, item in part.items()} == value
    else:
        assert [item for part in parts for item in part] == value


def test_lines_of_json_are_a_list() -> None:
    (chunk,) = chunks('{"a": 1}\n{"a": 2}\n', "json_keys")
    assert json.loads(chunk.text) == [{"a": 1}, {"a": 2}]


def test_a_section_begins_at_its_heading_a_file_at_its_line_and_a_page_at_its_number() -> None:
    text = "intro\n# One\ntext\n## Two\n=== a/b.txt ===\nx\n[page 2]\ny\n#hashtag\n"
    assert [chunk.title for chunk in chunks(text, "headers")] == [
        *("intro", "# One", "## Two", "=== a/b.txt ===", "[page 2]")
    ]


def test_an_entry_of_several_lines_stays_whole() -> None:
    entry = "2024-01-02T03:04:05 ERROR boom\n  at a\n  at b\n"
    made = chunks(entry * 10, "timestamps", size=len(entry) * 3)
    assert [chunk.text for chunk in made] == [entry * 3] * 3 + [entry]


@pytest.mark.parametrize("line", ["[2024-01-02 03:04:05] x", "03:04:05.123 x", "Jan  2 03:04:05 h x", "2024/01/02 x"])
def test_the_usual_time_stamps_are_known(line: str) -> None:
    assert len(chunks(f"{line}\n{line}\n", "timestamps", size=len(line) + 1)) == 2


def test_a_pattern_takes_the_place_of_the_usual_one() -> None:
    text = "PART a\nx\nPART b\ny\n"
    assert [chunk.text for chunk in chunks(text, "headers", pattern="^PART ")] == ["PART a\nx\n", "PART b\ny\n"]


def test_a_pattern_that_would_take_for_ever_elsewhere_is_quick_here() -> None:
    begun = time.perf_counter()
    chunks("a" * 50_000 + "!", "headers", pattern="^(a+)+$")
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"strategy": "lines"}, DocumentError),
        ({"size": 0}, DocumentError),
        ({"size": 5, "overlap": 5}, DocumentError),
        ({"overlap": -1}, DocumentError),
        ({"strategy": "headers", "pattern": "("}, BadPattern),
        ({"strategy": "headers", "pattern": "(?=a)"}, BadPattern),
        ({"strategy": "json_keys"}, DocumentError),
    ],
)
def test_what_does_not_fit_is_one_sentence(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        chunks("no json", **options)
    assert "\n" not in str(caught.value)


def test_json_nested_without_end_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(DocumentError, match="JSON"):
        chunks("[" * 200_000, "json_keys")
