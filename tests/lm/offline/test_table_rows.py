"""Plain Python over rows gives the same text as the pandas code, question by question."""

from __future__ import annotations

import pandas as pd
import pytest

from fleet_rlm.lm.offline.direct import answer
from tests.lm.offline.bench import solve
from tests.lm.offline.test_table_cells import drawn

QUESTIONS = [
    "What is the average weight per depot?",
    "Which carrier has the highest median weight?",
    "Top 3 parcels by total attempts",
    "How many rows have weight of at least 20 in Lund?",
    "What percentage of rows per carrier has attempts of 2?",
    "How many rows per weekday?",
    "Which hour of the day has the most rows?",
    "Compare insured and non-insured by average weight",
    "Which month has the most rows?",
    "Compare heron and swift by total weight",
    "What is the 90th percentile of weight?",
    "What is the minimum weight for kite in 2021?",
    "How many distinct depots are there?",
    "When was the last row of swift?",
    "How many rows have a remark that starts with 'fragile'?",
    "What is the average weight of insured parcels except Brno?",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_direct_answers_equal_computed_ones(question: str) -> None:
    frame = pd.DataFrame(drawn(21, 120))
    told = answer(question, f"`parcels`:\n{frame.to_csv(index=False)}\n\n")
    computed = solve(question, parcels=frame).answer
    assert "Read as" in computed
    assert [line for line in told.splitlines() if "sentAt=" not in line] == [
        line for line in computed.splitlines() if "sentAt=" not in line
    ]
