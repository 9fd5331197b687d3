from __future__ import annotations

from fleet_rlm.notebook.suggest import did_you_mean


def test_close_names_are_offered_best_first() -> None:
    assert did_you_mean("order", ["users", "orders", "order_s"]) == "; did you mean orders or order_s?"


def test_case_does_not_matter_and_the_name_is_given_as_it_is_written() -> None:
    assert did_you_mean("ORDERS", ["Orders"]) == "; did you mean Orders?"


def test_nothing_close_adds_nothing_to_the_sentence() -> None:
    assert did_you_mean("zzz", ["logs"]) == ""
    assert did_you_mean("logs", []) == ""
