"""A description is bounded, tells type and size, and never fails."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fleet_rlm.rlm import describe as module
from fleet_rlm.rlm.describe import COLUMNS, PREVIEW_CHARS, describe, prompt_text

BIG = "x" * 5_000_000

VALUES: list[tuple[Any, str, str]] = [
    ("hello", "str", "5 characters"),
    (b"\x00\xff", "bytes", "2 bytes"),
    ([1, "a", None], "list", "3 items of NoneType | int | str"),
    ({"a": 1}, "dict", "1 keys"),
    ({3, 4}, "set", "2 items of int"),
    (3.5, "float", "one value"),
    (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "pandas.DataFrame", "2 rows x 2 columns"),
    (pd.Series([1, 2]), "pandas.Series", "2 values, dtype int64"),
    (pa.table({"a": [1, 2, 3]}), "pyarrow.Table", "3 rows x 1 columns"),
    (np.zeros((2, 3)), "numpy.ndarray", "shape (2, 3), dtype float64"),
]


@pytest.mark.parametrize(("value", "kind", "size"), VALUES, ids=lambda value: type(value).__name__)
def test_type_and_size_are_told(value: Any, kind: str, size: str) -> None:
    told = describe("v", value)
    assert (told["type"], told["size"]) == (kind, size)


@pytest.mark.parametrize(
    "value",
    [
        BIG,
        BIG.encode(),
        [BIG] * 100,
        {f"k{i}": BIG for i in range(1000)},
        list(range(10**6)),
        pd.DataFrame({f"c{i}": [BIG[:10_000]] for i in range(500)}),
        np.zeros(10**6),
    ],
    ids=["str", "bytes", "list", "dict", "numbers", "frame", "array"],
)
def test_a_description_is_bounded_whatever_the_size(value: Any) -> None:
    assert len(prompt_text(describe("v", value))) < PREVIEW_CHARS + 40 * COLUMNS + 500


def test_describing_a_large_text_does_not_copy_it() -> None:
    tracemalloc.start()
    describe("v", BIG)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(BIG) / 10


def test_both_ends_of_a_long_text_are_shown() -> None:
    told = describe("v", "START" + BIG + "END")["preview"]
    assert told.startswith("START")
    assert told.endswith("END")
    assert "characters not shown" in told


def test_a_frame_shows_columns_with_dtypes_and_its_first_rows() -> None:
    told = describe("v", pd.DataFrame({"when": pd.to_datetime(["2026-01-02"]), "n": [7]}))["preview"]
    assert "when: datetime64" in told
    assert "n: int64" in told
    assert "2026-01-02,7" in told


def test_a_value_that_refuses_to_be_shown_is_described_by_its_type() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert describe("v", Shy())["preview"] != ""
    assert describe("v", [Shy()])["size"].startswith("1 items")


def test_the_source_runs_alone_as_it_does_inside_a_sandbox() -> None:
    code = f"{inspect.getsource(module)}\nprint(describe('v', [1, 2])['size'])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 items of int"
