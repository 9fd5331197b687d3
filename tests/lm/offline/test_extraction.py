"""One value from a short text, of the kind the question asks for."""

from __future__ import annotations

import pytest

from fleet_rlm.lm.offline.extraction import extract

REMOVAL = "For which version is the removal announced?"


@pytest.mark.parametrize(
    ("question", "text", "value"),
    [
        (REMOVAL, "warnings._deprecated(__name__, remove=(3, 14))", "3.14"),
        (REMOVAL, "x is deprecated since Python 3.12 and will be removed in Python 3.14", "3.14"),
        (REMOVAL, '"slated for removal in Python 3.13; see docs"', "3.13"),
        (REMOVAL, "Python 4.1 will remove it", "4.1"),
        (REMOVAL, "deprecated since 3.1", ""),
        ("Which version is required?", "needs release 2.0.1rc1 or later", "2.0.1rc1"),
        ("What port does it use?", "It listens on port 8443 of 3 hosts", "8443"),
        ("How many seats has the hall?", "Row 5: the hall has 1,250 seats", "1,250"),
        ("In what year was it built?", "Built 1931, 12 rooms", "1931"),
        ("Who is the author?", "The author is Ada Byron.", "Ada Byron"),
        ("What is the access code?", "access code = QX-77b", "QX-77b"),
        ("What is the password for Rhea?", 'The password for Rhea is "blue moon".', "blue moon"),
        ("What port does it use?", "It has no such thing", ""),
    ],
)
def test_kinds(question: str, text: str, value: str) -> None:
    assert extract(question, text) == value
