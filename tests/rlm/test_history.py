"""The history grows at its end only; what is cut says where it is whole, and nothing is dropped."""

from __future__ import annotations

from dspy.primitives.repl_types import REPLHistory

from fleet_rlm.rlm.history import CUTS, length, repeats, shortened


def history(*outputs: str) -> REPLHistory:
    made = REPLHistory(max_output_chars=10_000)
    for index, output in enumerate(outputs):
        made = made.append(reasoning="because", code=f"step({index})", output=output)
    return made


def test_older_outputs_are_cut_and_the_latest_stay_whole() -> None:
    cut = shortened(history(*["x" * 5_000] * 6), chars=2_000, whole=3)
    assert [len(entry.output) < 2_100 for entry in cut.entries] == [True, True, True, False, False, False]


def test_a_cut_output_keeps_its_beginning_and_says_where_the_rest_is() -> None:
    (first, _) = shortened(history("begin" + "x" * 5_000, "y"), chars=100, whole=1).entries
    assert first.output.startswith("begin")
    assert "outputs[0]" in first.output


def test_no_step_is_dropped_and_code_and_reasoning_stay() -> None:
    before = history(*["x" * 5_000] * 5)
    after = shortened(before, *CUTS[-1])
    assert [(entry.reasoning, entry.code) for entry in after.entries] == [
        (entry.reasoning, entry.code) for entry in before.entries
    ]


def test_cutting_twice_keeps_the_place_of_the_whole_text() -> None:
    twice = shortened(shortened(history("x" * 5_000, "y"), 2_000, 1), 100, 1)
    assert twice.entries[0].output.count("outputs[0]") == 1


def test_short_outputs_are_left_alone() -> None:
    before = history("short", "shorter", "z")
    assert shortened(before, chars=100, whole=1).entries == before.entries


def test_length_counts_what_a_prompt_shows_of_it() -> None:
    assert 10_000 < length(history("x" * 50_000)) < 10_200
    assert length(history()) == 0


def test_only_the_same_cell_with_the_same_output_is_a_repetition() -> None:
    past = history("out")
    assert repeats(past, "step(0)", "out")
    assert not repeats(past, "step(1)", "out")
    assert not repeats(past, "step(0)", "other")
    assert not repeats(history(), "step(0)", "out")
