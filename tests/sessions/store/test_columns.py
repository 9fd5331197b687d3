"""What is stored means the same on both databases."""

from __future__ import annotations

import datetime

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store import Scope
from fleet_rlm.sessions.store.columns import moment, storable

VALUES = {
    "texts": ["", "ü 𝒳", 'it\'s "quoted" \\ and \n'],
    "numbers": [0, -1, 2**53, 1.5, 1.25e-7],
    "others": [None, True, False, [], {}, [[{"a": None}]]],
}


def test_a_json_value_comes_back_as_it_was(mine: Scope) -> None:
    mine.settings.set("all", VALUES)
    assert mine.settings.get("all") == VALUES


def test_what_json_cannot_hold_is_replaced_or_refused(mine: Scope) -> None:
    assert storable({"a\x00": (1, float("nan"), "\ud800")}) == {"a\ufffd": [1, None, "\ufffd"]}
    for value in ({1, 2}, b"bytes", datetime.datetime.now(datetime.UTC)):
        with pytest.raises(UserError, match="keeps JSON values; turn the"):
            storable({"deep": [value]})
    with pytest.raises(UserError, match="keeps JSON values"):
        mine.settings.set("set", {1, 2})


def test_times_come_back_aware_and_exact(mine: Scope) -> None:
    made = mine.sessions.create("s")
    kept = mine.sessions.get("s")
    assert kept.created_at == made.created_at
    assert kept.created_at.utcoffset() == datetime.timedelta(0)
    assert moment(1_700_000_000_123_457).microsecond == 123_457
    with pytest.raises(UserError, match="has no time zone"):
        mine.sessions.list(created_after=datetime.datetime(2026, 1, 1))
