"""Quoted terms, identifiers, singulars, numbers and dates as people write them."""

from __future__ import annotations

import pytest

from fleet_rlm.lm.offline.words import code_like, name_words, number, period, quoted, singular


def test_quoted_terms_come_in_order_and_apostrophes_are_no_quotes() -> None:
    assert quoted("which of `a.b`, 'x y' or \"z\" isn't Ann's?") == ["a.b", "x y", "z"]


def test_identifiers_are_told_from_plain_words() -> None:
    assert code_like("Which Python file warns by warnings._deprecated, max_size, TODO or fooBar?") == [
        "warnings._deprecated",
        "max_size",
        "TODO",
        "fooBar",
    ]


@pytest.mark.parametrize(
    ("plural", "one"),
    [("categories", "category"), ("statuses", "status"), ("boxes", "box"), ("rows", "row"), ("status", "status")],
)
def test_singulars(plural: str, one: str) -> None:
    assert singular(plural) == one


def test_names_fall_into_words() -> None:
    assert name_words("unitPrices") == name_words("unit_price") == name_words("Unit Price") == ["unit", "price"]


@pytest.mark.parametrize(
    ("text", "value"), [("1,200", 1200), ("$3.50", 3.5), ("5k", 5000), ("1.5 million", 1_500_000), ("ten", None)]
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2024", ("2024-01-01", "2024-12-31")),
        ("February 2024", ("2024-02-01", "2024-02-29")),
        ("2023-02", ("2023-02-01", "2023-02-28")),
        ("5 Jan 2024", ("2024-01-05", "2024-01-05")),
        ("January 5th, 2024", ("2024-01-05", "2024-01-05")),
        ("2024-13", None),
        ("soon", None),
    ],
)
def test_periods(text: str, days: tuple[str, str] | None) -> None:
    assert period(text) == days
