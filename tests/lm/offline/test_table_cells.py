"""The pandas code the stand-in writes gives what plain Python computes, on tables drawn at random."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fleet_rlm.lm.offline.wording import CANNOT
from tests.lm.offline.bench import solve

Row = dict[str, Any]
SEEDS = (1, 2, 3)


def drawn(seed: int, count: int = 300) -> list[Row]:
    """Rows about parcels: nothing of this occurs in the package."""
    chance = random.Random(seed)
    begin = datetime(2021, 5, 1)
    return [
        {
            "parcel_id": chance.randrange(1, 120),
            "depot": chance.choice(["Lund", "Gent", "Porto Novo", "Brno"]),
            "carrier": chance.choice(["heron", "swift", "kite"]),
            "weight_kg": round(chance.uniform(0.1, 40), 2),
            "attempts": chance.randrange(1, 6),
            "insured": chance.random() < 0.3,
            "sentAt": begin + timedelta(minutes=chance.randrange(0, 200 * 1440)),
            "remark": chance.choice([None, "handle with care", "Fragile glass", "gift"]),
        }
        for _ in range(count)
    ]


def answer(question: str, rows: list[Row]) -> str:
    return solve(question, parcels=pd.DataFrame(rows)).bare


def first_number(text: str) -> float:
    found = re.match(r"-?\d+(?:\.\d+)?", text)
    assert found is not None, text
    return float(found[0])


def by(rows: list[Row], key: str, measure: str) -> dict[Any, list[float]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row[measure])
    return dict(groups)


FIGURES: list[tuple[str, Callable[[list[Row]], float]]] = [
    ("What is the average weight?", lambda rows: statistics.fmean(r["weight_kg"] for r in rows)),
    (
        "What is the median weight for the carrier swift?",
        lambda rows: statistics.median(r["weight_kg"] for r in rows if r["carrier"] == "swift"),
    ),
    (
        "What is the total weight in Porto Novo?",
        lambda rows: math.fsum(r["weight_kg"] for r in rows if r["depot"] == "Porto Novo"),
    ),
    ("How many rows have attempts greater than 3?", lambda rows: sum(r["attempts"] > 3 for r in rows)),
    (
        "How many rows have weight between 5 and 10.5?",
        lambda rows: sum(5 <= r["weight_kg"] <= 10.5 for r in rows),
    ),
    ("How many distinct parcels are there?", lambda rows: len({r["parcel_id"] for r in rows})),
    (
        "How many parcels in Gent are insured?",
        lambda rows: len({r["parcel_id"] for r in rows if r["depot"] == "Gent" and r["insured"]}),
    ),
    ("How many rows are not insured?", lambda rows: sum(not r["insured"] for r in rows)),
    ("How many rows have a missing remark?", lambda rows: sum(r["remark"] is None for r in rows)),
    ("How many rows have a remark containing 'glass'?", lambda rows: sum("glass" in (r["remark"] or "") for r in rows)),
    ("How many rows were sent in July 2021?", lambda rows: sum(r["sentAt"].month == 7 for r in rows)),
    ("How many rows of heron or kite are there?", lambda rows: sum(r["carrier"] != "swift" for r in rows)),
    ("What is the maximum weight in Brno?", lambda rows: max(r["weight_kg"] for r in rows if r["depot"] == "Brno")),
    (
        "What share of rows has the carrier kite?",
        lambda rows: 100 * sum(r["carrier"] == "kite" for r in rows) / len(rows),
    ),
    (
        "What is the standard deviation of weight before 2021-08-01?",
        lambda rows: statistics.stdev(r["weight_kg"] for r in rows if r["sentAt"] < datetime(2021, 8, 1)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("question", "gold"), FIGURES, ids=[question for question, _ in FIGURES])
def test_figures(question: str, gold: Callable[[list[Row]], float]) -> None:
    for seed in SEEDS:
        rows = drawn(seed)
        assert first_number(answer(question, rows)) == pytest.approx(gold(rows), abs=1e-4)


def test_the_best_group_is_named_with_its_figure_and_the_runners_up() -> None:
    for seed in SEEDS:
        rows = drawn(seed)
        means = {key: statistics.fmean(cells) for key, cells in by(rows, "depot", "weight_kg").items()}
        best = max(means, key=lambda key: means[key])
        text = answer("Which depot has the highest average weight?", rows)
        assert text.startswith(f"{best} has the highest mean of weight_kg: {means[best]:.4f}".rstrip("0"))
        assert all(f"- {key}: " in text for key in means)


def test_the_lowest_group_is_found_under_a_condition() -> None:
    rows = drawn(4)
    totals = {key: sum(cells) for key, cells in by([r for r in rows if r["insured"]], "carrier", "attempts").items()}
    text = answer("Which carrier has the lowest total attempts where insured is true?", rows)
    assert text.startswith(f"{min(totals, key=lambda key: totals[key])} has the lowest total of attempts")


def test_top_k_comes_in_order() -> None:
    for seed in SEEDS:
        rows = drawn(seed)
        totals = {key: math.fsum(cells) for key, cells in by(rows, "parcel_id", "weight_kg").items()}
        gold = sorted(totals, key=lambda key: -totals[key])[:4]
        text = answer("Top 4 parcels by total weight", rows)
        assert [int(key) for key in re.findall(r"(?m)^- (\d+): ", text)] == gold


def test_groups_and_time_buckets_are_complete() -> None:
    rows = drawn(5)
    months = Counter(row["sentAt"].strftime("%Y-%m") for row in rows)
    found = re.findall(r"(?m)^- (\d{4}-\d\d): (\d+) ", answer("How many rows per month?", rows))
    assert {month: int(count) for month, count in found} == months
    pairs = {(row["depot"], row["carrier"]) for row in rows}
    text = answer("average weight by depot and carrier", rows)
    assert len(re.findall(r"(?m)^- .+ / .+: ", text)) == len(pairs)


def test_two_values_are_compared() -> None:
    rows = drawn(6)
    means = {key: statistics.fmean(cells) for key, cells in by(rows, "carrier", "attempts").items()}
    high, low = sorted(("heron", "kite"), key=lambda key: -means[key])
    text = answer("Compare heron and kite by average attempts", rows)
    assert f"{high} is higher than {low}" in text
    assert "swift" not in text


def test_first_and_last_moments_quote_their_row() -> None:
    rows = drawn(7)
    chosen = [row for row in rows if row["depot"] == "Gent" and row["attempts"] == 5]
    first, last = min(row["sentAt"] for row in chosen), max(row["sentAt"] for row in chosen)
    text = answer("When was the first row with attempts of 5 in Gent?", rows)
    assert text.startswith(f"First: {first}")
    assert "depot=Gent" in text
    assert answer("When was the last row with attempts of 5 in Gent?", rows).startswith(f"Last: {last}")


def test_other_forms_of_a_table_give_the_same_answer() -> None:
    rows = drawn(8)
    frame = pd.DataFrame(rows)
    records = [{**row, "sentAt": row["sentAt"].isoformat()} for row in rows]
    question = "Which depot has the highest total weight in June 2021?"
    gold = solve(question, parcels=frame).bare
    forms = (
        pa.Table.from_pandas(frame),
        records,
        {name: [row[name] for row in records] for name in records[0]},
        frame.to_csv(index=False),
        "\n".join(" || ".join(f"{key}: {value}" for key, value in row.items()) for row in records),
        frame.assign(sentAt=frame["sentAt"].dt.tz_localize("UTC"), depot=frame["depot"].astype("category")),
    )
    for form in forms:
        assert solve(question, parcels=form).bare == gold


def test_plain_sequences_are_columns_too() -> None:
    prices = [2.5, 4.0, 9.5]
    for form in (prices, pd.Series(prices, name="price"), pd.Series(prices).to_numpy()):
        word = "price" if isinstance(form, pd.Series) else "value"
        assert solve(f"What is the average {word}?", numbers=form).bare.startswith("5.3333")


def test_logs_are_tables_of_time_level_and_message() -> None:
    chance = random.Random(9)
    levels = [chance.choice(["INFO", "WARN", "ERROR"]) for _ in range(200)]
    log = "\n".join(
        f"2022-03-{1 + at // 10:02} 10:{at % 60:02}:00 {level} pump {at}" for at, level in enumerate(levels)
    )
    common, count = Counter(levels).most_common(1)[0]
    assert solve("Which level is most common?", log=log).bare.startswith(f"{common} has the highest count: {count}")
    last = max(at for at, level in enumerate(levels) if level == "ERROR")
    assert f"message=pump {last}" in solve("When was the last ERROR?", log=log).bare


def test_the_reading_is_shown_and_leftovers_refuse_a_count() -> None:
    rows = drawn(10)
    assert "Read as: mean of weight_kg per carrier" in answer("average weight per carrier", rows)
    text = answer("How many suspicious parcels are there?", rows)
    assert text.startswith(CANNOT)
    assert "weight_kg" in text


def test_every_answer_takes_three_cells_and_looks_first() -> None:
    solved = solve("What is the average weight?", parcels=pd.DataFrame(drawn(11)))
    assert [code.splitlines()[0] for code in solved.codes] == ["# stage: look", "# stage: compute", "# stage: answer"]
    assert '"weight_kg": number' in solved.outputs[0].replace("column ", "")
    assert ".mean()" in solved.codes[1]


def test_equal_column_names_are_told_apart_by_number() -> None:
    frame = pd.DataFrame([[1, 20], [3, 40]], columns=["load", "load"])
    for form in (frame, pa.table([pa.array([1, 3]), pa.array([20, 40])], names=["load", "load"])):
        assert solve("How many rows are there?", barge=form).bare.startswith("2 rows")
        refused = solve("What is the total load?", barge=form).bare
        assert refused.startswith(CANNOT)
        assert "load #1, load #2" in refused
        assert solve("What is the total load #2?", barge=form).bare.startswith("60 ")


def test_arrays_of_every_kind_are_read_or_refused_in_a_sentence() -> None:
    records = np.array([(1, 2.5), (3, 4.5)], dtype=[("crew", ">i4"), ("draught", "f8")])
    assert solve("What is the total crew?", barge=records).bare.startswith("4 ")
    assert solve("What is the average value?", barge=np.array([1.0, 4.0], dtype=">f8")).bare.startswith("2.5 ")
    swapped = pd.DataFrame({"load": np.array([1.5, 2.5, 4.0], dtype=">f8"), "quay": ["N", "S", "N"]})
    assert "- N: 5.5 (2 rows)" in solve("total load per quay", barge=swapped).bare
    assert solve("How many rows are there?", barge=np.zeros((0, 3))).bare.startswith("0")
    refused = solve("How many rows are there?", barge=np.array(5)).bare
    assert refused.startswith(CANNOT)
    assert "an array without dimensions is one value" in refused


def test_cells_with_lone_surrogates_are_written_out_escaped() -> None:
    quay = pd.Series(["N"] * 9 + ["\udc80x"], dtype=object)
    frame = pd.DataFrame({"load": range(10)}).assign(quay=quay)
    assert r"- \udc80x: 9 (1 row)" in solve("total load per quay", barge=frame).bare


def test_column_names_that_are_no_texts() -> None:
    frame = pd.DataFrame([[1, 2], [3, 5]])
    assert solve("What is the total of column 1?", barge=frame).bare.startswith("7 ")
    levels = frame.set_axis(pd.MultiIndex.from_tuples([("load", "kg"), ("load", "lb")]), axis=1)
    assert solve("What is the total load lb?", barge=levels).bare.startswith("7 ")


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Which depot is the most beautiful?", "beautiful"),
        ("Total revenue (weight times attempts) per depot", "revenue"),
    ],
)
def test_a_word_that_is_nowhere_in_the_table_is_named(question: str, word: str) -> None:
    refused = answer(question, drawn(12))
    assert refused.startswith(CANNOT)
    assert f"I could not place `{word}`" in refused
