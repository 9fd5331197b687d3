"""Small values answered from the prompt itself, in the layout the agent writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleet_rlm.agent.context import small_text
from fleet_rlm.lm.offline.direct import answer
from fleet_rlm.lm.offline.wording import CANNOT, LABEL


def asked(question: str, **values: Any) -> str:
    text = small_text(values, 100_000)
    assert text is not None
    told = answer(question, text)
    assert told.count(LABEL) == 1
    return told


def test_tables_in_every_form() -> None:
    frame = pd.DataFrame({"shop": ["Ayr", "Bute", "Ayr"], "takings": [10.0, 5.0, 7.5]})
    for value in (frame, frame.to_dict("records"), frame.to_dict("list"), frame.to_csv(index=False)):
        assert asked("Which shop has the highest total takings?", sales=value).startswith("Ayr has the highest")
        assert asked("How many rows have takings above 6?", sales=value).startswith("2 rows")


def test_texts_and_collections_of_texts() -> None:
    docs = {"a.md": "The gate code is 4471.\nERROR one", "b.md": "ERROR two\nfine"}
    assert asked("How many lines mention ERROR?", notes=docs).startswith("2 lines mention")
    assert "a.md:1: The gate code is 4471." in asked("What is the gate code?", notes=docs)
    assert "notes:1" in asked("What is the gate code?", notes=docs["a.md"])


def test_files_of_a_directory_keep_their_names() -> None:
    text = "`src`:\n--- pkg/a.py\nimport old\nold.gone('a', remove=(2, 5))\n\n--- pkg/b.py\nx = 1\n\n"
    told = answer("Which modules announce a removal by `old.gone`, and for which version?", text)
    assert "- pkg/a.py: 2.5" in told
    assert "pkg/a.py:2" in told


def test_nothing_given_is_executed(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    hostile = f"[__import__('pathlib').Path({str(flag)!r}).touch()]"
    assert asked("How many lines are there?", data=hostile).startswith("1 document, 1 line, ")
    assert not flag.exists()


def test_what_no_rule_fits_is_refused() -> None:
    for question in ("Why is it so?", "Tell me a joke", "What is the capital of Peru?", ""):
        assert asked(question, notes="The gate code is 4471.").startswith(CANNOT)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (pd.DataFrame(), 0),
        (pd.DataFrame({"berth": []}), 0),
        (pd.DataFrame([4, 5, 6]), 3),
        (pd.DataFrame([4, 5], index=["x", "y"]), 2),
        (pd.DataFrame({"note": ["one\ntwo", "three"], "berth": [1, 2]}), 2),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["berth", "berth"]), 2),
        (pd.Series([4, 5, 6]), 3),
        (pd.Series([4, 5], name="berth"), 2),
        (np.array([1.0, np.nan, 3.0]), 3),
        (np.zeros((2, 3)), 2),
    ],
)
def test_rows_of_small_tables_are_counted_without_their_header(value: Any, rows: int) -> None:
    assert asked("How many rows are there?", quay=value).startswith(f"{rows} rows" if rows else "0: no row fits")


def test_no_data_is_said_to_be_none() -> None:
    for question in ("How many rows are there?", "What data was given?", "How many lines mention data?"):
        told = answer(question, "(no data was given)")
        assert told.startswith(CANNOT)
        assert "No data was given" in told


def test_direct_answers_weigh_every_word() -> None:
    log = "2031-02-03 GALE hail\n2031-02-04 GALE sun\ncalm"
    assert asked("How many lines contain both GALE and hail?", weather=log).startswith("1 line mentions")
    assert asked("How many lines do not contain GALE?", weather=log).startswith("1 line mentions no")
    assert "`since`" in asked("How many GALE lines since 2031-02-04?", weather=log)
    frame = pd.DataFrame({"quay": ["N", "S"], "load": [2, 3], "fee": [4, 5]})
    assert "`beautiful`" in asked("Which quay is the most beautiful?", harbour=frame)
    assert asked("Total of load times fee per quay", harbour=frame).startswith(CANNOT)
