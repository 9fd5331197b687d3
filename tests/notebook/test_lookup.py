from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from IPython.core.error import UsageError

from fleet_rlm.notebook.lookup import lookup, root, variables


class Guarded:
    @property
    def broken(self) -> int:
        raise RuntimeError("no connection")

    def __call__(self) -> str:
        raise AssertionError("a lookup must not call anything")


NAMESPACE: dict[str, Any] = {
    "logs": ["first", "second"],
    "cfg": SimpleNamespace(data={"k": [1, 2], 3: "three", "long key": "x"}),
    "df": pd.DataFrame({"price": [1.5], "qty": [2]}),
    "guarded": Guarded(),
}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("logs", ["first", "second"]),
        ("logs[0]", "first"),
        ("logs[-1]", "second"),
        ("cfg.data['k'][1]", 2),
        ('cfg.data["long key"]', "x"),
        ("cfg.data[3]", "three"),
        (" logs [ 1 ] ", "second"),
    ],
)
def test_names_attributes_and_indexes_are_looked_up(written: str, value: Any) -> None:
    assert lookup(written, NAMESPACE) == value


def test_the_object_itself_is_found_not_a_copy() -> None:
    assert lookup("df", NAMESPACE) is NAMESPACE["df"]


@pytest.mark.parametrize("written", ["1+1", "guarded()", "logs[len(logs)]", "[1]", "", "a b", "lambda: 1", "logs[0"])
def test_nothing_else_is_carried_out(written: str) -> None:
    assert root(written) is None
    with pytest.raises(UsageError, match="is not a variable"):
        lookup(written, {**NAMESPACE, "len": len})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("lgos", "there is no variable `lgos`; did you mean logs?"),
        ("cfg.dta", "`cfg` has no attribute `dta`; did you mean data?"),
        ("logs[9]", "`logs` has no item 9; it has 2 items"),
        ("cfg.data['kk']", "`cfg.data` has no item 'kk'; it has k, 3, long key"),
        ("df['pirce']", "`df` has no item 'pirce'; did you mean price?"),
        ("logs['a']", "`logs['a']` cannot be read: TypeError: list indices must be integers or slices, not str"),
        ("guarded.broken", "`guarded.broken` cannot be read: RuntimeError: no connection"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_close(written: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        lookup(written, NAMESPACE)
    assert str(caught.value) == said
    assert type(caught.value) is UsageError


def test_variables_are_what_a_user_would_call_so() -> None:
    namespace = {"x": 1, "_hidden": 2, "math": math, "len": len, "In": [], "Guarded": Guarded}
    assert variables(namespace) == ["x"]
