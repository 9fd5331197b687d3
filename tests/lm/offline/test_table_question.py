"""Questions over tables are read against columns whose names the rules have never met."""

from __future__ import annotations

import pytest

from fleet_rlm.lm.offline.conditions import Condition
from fleet_rlm.lm.offline.schema import Table, phrases
from fleet_rlm.lm.offline.table_question import TableQuestion, read_table_question

COLUMNS = {
    "sampled_at": "time",
    "reefName": "text",
    "coral_species": "text",
    "bleached": "flag",
    "depth_m": "number",
    "colony_count": "number",
    "diver_id": "number",
    "remarks": "text",
}
VALUES = ["Great Star", "Elkhorn", "North Wall", "South Wall", "IT"]


def read(question: str) -> TableQuestion | None:
    known = phrases(question)
    table = Table("dives", 1000, dict(COLUMNS))
    for value, column in zip(
        VALUES, ("coral_species", "coral_species", "reefName", "reefName", "remarks"), strict=True
    ):
        if value.lower() in known:
            table.values.append((value, column))
    return read_table_question(question, table)


@pytest.mark.parametrize(
    ("question", "how", "measure", "by"),
    [
        ("What is the average depth?", "mean", "depth_m", ()),
        ("median depth per coral species", "median", "depth_m", ("coral_species",)),
        ("Which reef has the most colonies?", "sum", "colony_count", ("reefName",)),
        ("Which species has the highest depth?", "mean", "depth_m", ("coral_species",)),
        ("Top 3 divers by total colony count", "sum", "colony_count", ("diver_id",)),
        ("average depth by bleached", "mean", "depth_m", ("bleached",)),
        ("Compare bleached and non-bleached by average depth", "mean", "depth_m", ("bleached",)),
        ("How many divers are there?", "nunique", "diver_id", ()),
        ("How many distinct reef names are there?", "nunique", "reefName", ()),
        ("What is the most common coral species?", "count", "", ("coral_species",)),
        ("mean colony count by reef and species", "mean", "colony_count", ("reefName", "coral_species")),
        ("What is the greatest depth?", "max", "depth_m", ()),
        ("What is the 90th percentile of depth?", "p95", "depth_m", ()),
        ("When was the first dive at North Wall?", "first", "sampled_at", ()),
    ],
)
def test_figures_measures_and_groups(question: str, how: str, measure: str, by: tuple[str, ...]) -> None:
    found = read(question)
    assert found is not None
    assert (found.how, found.measure, found.by) == (how, measure, by)


@pytest.mark.parametrize(
    ("question", "where"),
    [
        ("How many dives had depth greater than 12.5?", [Condition("depth_m", ">", 12.5)]),
        ("How many dives with depth of at least 1,000?", [Condition("depth_m", ">=", 1000)]),
        ("How many rows have more than 5 colonies?", [Condition("colony_count", ">", 5)]),
        ("How many rows have depth between 3 and 9?", [Condition("depth_m", ">=", 3), Condition("depth_m", "<=", 9)]),
        ("average depth at North Wall", [Condition("reefName", "==", "North Wall")]),
        ("average depth not at North Wall", [Condition("reefName", "!=", "North Wall")]),
        ("average depth where reef name is not 'North Wall'", [Condition("reefName", "!=", "North Wall")]),
        ("How many rows have remarks containing 'shark'?", [Condition("remarks", "contains", "shark")]),
        ("How many rows have missing remarks?", [Condition("remarks", "missing")]),
        ("How many rows where remarks is not empty?", [Condition("remarks", "present")]),
        ("How many rows are bleached?", [Condition("bleached", "==", True)]),
        ("How many rows are not bleached?", [Condition("bleached", "==", False)]),
        ("median depth per species for bleached ones", [Condition("bleached", "==", True)]),
        ("How many rows where remarks are IT?", [Condition("remarks", "==", "IT")]),
        (
            "average depth in March 2024",
            [Condition("sampled_at", ">=", "2024-03-01"), Condition("sampled_at", "<", "2024-04-01")],
        ),
        ("average depth since 2024-03-05", [Condition("sampled_at", ">=", "2024-03-05")]),
        ("average depth after 2024-03-05", [Condition("sampled_at", ">=", "2024-03-06")]),
        ("average depth before 2024", [Condition("sampled_at", "<", "2024-01-01")]),
    ],
)
def test_conditions(question: str, where: list[Condition]) -> None:
    found = read(question)
    assert found is not None
    assert list(found.where) == where


def test_values_of_one_column_mean_any_of_them_and_compare_groups_by_it() -> None:
    found = read("Compare Great Star and Elkhorn by average depth")
    assert found is not None
    assert found.by == ("coral_species",)
    assert set(found.where[0].value or ()) == {"Great Star", "Elkhorn"}  # type: ignore[arg-type]


def test_buckets_of_time_and_order() -> None:
    found = read("Which month had the lowest average depth?")
    assert found is not None
    assert (found.bucket, found.time, found.ranked, found.rising, found.top) == ("month", "sampled_at", True, True, 1)


@pytest.mark.parametrize(
    "question",
    [
        "How many angry customers are there?",
        "How many dives had more than 5 sharks?",
        "Which deploy broke checkout?",
        "What is the weather in Paris?",
        "What share of dives is there?",
        "Is Elkhorn more common than Great Star?",
    ],
)
def test_words_that_would_have_narrowed_a_figure_refuse_it(question: str) -> None:
    assert read(question) is None


def test_only_a_verb_beside_a_condition_is_left_out_and_it_is_kept_to_be_shown() -> None:
    found = read("What is the average depth of dives logged at North Wall?")
    assert found is not None
    assert found.unused == ("logged",)
    assert read("What is the average depth on sunny dives?") is None
