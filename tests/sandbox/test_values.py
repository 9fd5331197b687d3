"""Values arrive exactly as they were, are sent once, and come back without a pickle."""

from __future__ import annotations

import datetime
import decimal
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fleet_rlm.sandbox import values
from fleet_rlm.sandbox.errors import ValueNotReadable, ValueNotSendable
from fleet_rlm.sandbox.local import LocalSandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    with LocalSandbox(preload=values.HEAVY) as made:
        yield made


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(10**40),
        1.5,
        float("inf"),
        "",
        "plain",
        "lone \ud800 surrogate and \0 byte",
        "é\U0001f600" * 3000,
        b"\0\xff" * 5000,
        (1, "two", {3: {4, 5}}),
        {"a": [1, None], (1, 2): frozenset({3})},
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
        decimal.Decimal("1.10"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_plain_values_arrive_exactly(sandbox: LocalSandbox, value: Any) -> None:
    sandbox.put("value", value)
    expected = repr(value)
    assert sandbox.run("import hashlib; r = repr(value); len(r), hash is not None").error is None
    sandbox.put("expected", expected)
    assert sandbox.run("repr(value) == expected or (value, sorted(expected) == sorted(repr(value)))[1]").value == "True"
    assert sandbox.run("type(value).__name__").value == repr(type(value).__name__)


@pytest.mark.parametrize(
    "texts", [[f"text {i} \ud83d\0é" for i in range(2_000)], ["same"] * 2_000, ["x"] * 1_999 + [0]]
)
def test_long_lists_of_texts_arrive_as_lists(sandbox: LocalSandbox, texts: list[Any]) -> None:
    sandbox.put("texts", texts)
    sandbox.put("expected", repr(texts))
    assert sandbox.run("type(texts) is list and repr(texts) == expected").value == "True"


@pytest.mark.parametrize("size", [4_096, 4_097, (1 << 20) - 1, 1 << 20, (1 << 22) + 3])
def test_text_of_every_size_survives_the_change_of_carrier(sandbox: LocalSandbox, size: int) -> None:
    text = ("a\ud83d\0é" * (size // 4 + 1))[:size]
    sandbox.put("text", text)
    assert sandbox.run(
        "len(text), text[:4] == 'a\\ud83d\\0é', text == ('a\\ud83d\\0é' * len(text))[:len(text)]"
    ).value == (f"({size}, True, True)")


def frame() -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "i": np.arange(5, dtype="int16"),
            "f": [1.5, None, 2.0, 3.0, 4.0],
            "s": ["a", None, "ü", "\0", ""],
            "c": pd.Categorical(["x", "y", "x", "x", "y"], ordered=True),
            "t": pd.date_range("2024-01-01", periods=5, tz="Europe/Berlin"),
            "n": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "o": [{"a": 1}, [2], None, (3,), "x"],
        },
        index=pd.MultiIndex.from_product([["g"], range(5)], names=["group", None]),
    )
    made.attrs["source"] = "test"
    return made


def test_a_frame_arrives_with_its_dtypes_and_index(sandbox: LocalSandbox) -> None:
    sandbox.put("df", frame())
    assert sandbox.run("str(df.dtypes.to_dict())").value == repr(str(frame().dtypes.to_dict()))
    assert sandbox.run("str(list(df.index)), df.index.names, df.attrs").value == repr(
        (str(list(frame().index)), frame().index.names, {"source": "test"})
    )
    assert sandbox.run("df.to_csv()").value == repr(frame().to_csv())


def test_large_arrays_and_frames_can_be_written_to(sandbox: LocalSandbox) -> None:
    array = np.arange(1_000_000, dtype="float64")
    sandbox.put("array", array)
    sandbox.put("df", pd.DataFrame({"x": array}))
    assert sandbox.run("array[0] = 7; df.loc[1, 'x'] = 8; int(array[0] + df.x[1] + array.sum())").value == repr(
        int(22 + array.sum())
    )
    assert array[0] == 0


def test_arrow_data_arrives_and_leaves(sandbox: LocalSandbox) -> None:
    table = pa.table({"a": list(range(100_000)), "b": ["x"] * 100_000}).slice(10, 50_000)
    batch = pa.RecordBatch.from_pydict({"a": [1, 2]})
    sandbox.put("table", table)
    sandbox.put("batch", batch)
    assert sandbox.run("type(table).__name__, type(batch).__name__, table.num_rows").value == (
        "('Table', 'RecordBatch', 50000)"
    )
    assert sandbox.get("table").equals(table)
    assert sandbox.get("batch").to_pydict() == {"a": [1, 2]}


def test_values_come_back(sandbox: LocalSandbox) -> None:
    sandbox.run(
        "import numpy as np, pandas as pd\n"
        "a = np.arange(6, dtype='int32').reshape(2, 3); when = np.array(['2024-01-01'], dtype='datetime64[D]')\n"
        "d = pd.DataFrame({'x': [1, 2]}, index=['p', 'q']); s = pd.Series([1.5], name='s'); u = pd.Series([1])\n"
        "j = {'k': [1, (2, 3)], 'b': b'raw'}; big = 'y' * 3_000_000"
    )
    assert (sandbox.get("a") == np.arange(6).reshape(2, 3)).all()
    assert sandbox.get("when")[0] == np.datetime64("2024-01-01")
    pd.testing.assert_frame_equal(sandbox.get("d"), pd.DataFrame({"x": [1, 2]}, index=["p", "q"]))
    pd.testing.assert_series_equal(sandbox.get("s"), pd.Series([1.5], name="s"))
    pd.testing.assert_series_equal(sandbox.get("u"), pd.Series([1]))
    assert sandbox.get("j") == {"k": [1, [2, 3]], "b": b"raw"}
    assert len(sandbox.get("big")) == 3_000_000


@pytest.mark.parametrize("name", ["missing", "made"])
def test_what_cannot_be_read_says_so(sandbox: LocalSandbox, name: str) -> None:
    sandbox.run("made = object()")
    with pytest.raises(ValueNotReadable, match=r"missing|a object cannot leave"):
        sandbox.get(name)


@dataclass
class Local:
    x: int = 1


@pytest.mark.parametrize("value", [threading.Lock(), lambda: 1, (i for i in "x"), Local(), [Local()]])
def test_what_cannot_be_sent_names_the_variable_its_type_and_the_way_out(sandbox: LocalSandbox, value: Any) -> None:
    with pytest.raises(ValueNotSendable) as caught:
        sandbox.put("thing", value)
    assert "'thing'" in str(caught.value)
    assert values.type_name(value) in str(caught.value)
    assert "asdict" in str(caught.value)
    assert sandbox.run("1").value == "1"


@pytest.mark.parametrize("name", ["1x", "class", "SUBMIT"])
def test_names_that_cannot_be_variables_are_refused(sandbox: LocalSandbox, name: str) -> None:
    with pytest.raises(ValueNotSendable):
        sandbox.put(name, 1)


def test_an_object_is_sent_once_and_bound_again(sandbox: LocalSandbox) -> None:
    text, table = "z" * 5_000_000, pa.table({"a": list(range(200_000))})
    for name, value in (("text", text), ("table", table)):
        sandbox.put(name, value)
        first = sandbox.run(f"first = id({name}); {name} = None; first").value
        assert sandbox.run(f"id({name})", {name: value}).value == first
        child = sandbox.fork()
        assert isinstance(child, LocalSandbox)
        assert child.run(f"id({name})", {name: value}).value == first
        child.shutdown()


def test_small_mutable_values_are_sent_as_they_are_now(sandbox: LocalSandbox) -> None:
    items = [1]
    sandbox.run("items.append(99)", {"items": items})
    items.append(2)
    assert sandbox.run("items", {"items": items}).value == "[1, 2]"


def test_a_value_that_is_put_again_is_sent_as_it_is_now(sandbox: LocalSandbox) -> None:
    rows, frame = list(range(100_000)), pd.DataFrame({"a": np.arange(100_000)})
    for name, value in {"rows": rows, "frame": frame}.items():
        sandbox.put(name, value)
    rows.append(5)
    frame["a"] += 1
    for name, value in {"rows": rows, "frame": frame}.items():
        sandbox.put(name, value)
    seen = sandbox.run("len(rows), int(frame['a'].iloc[0])", {"rows": rows, "frame": frame}).value
    assert seen == "(100001, 1)"


def test_modules_are_chosen_by_the_values() -> None:
    assert values.modules_for("text", [1]) == ()
    assert values.modules_for(np.arange(3)) == ("numpy",)
    assert values.modules_for("x", frame()) == values.HEAVY


def test_tools_return_frames_arrays_and_tables(sandbox: LocalSandbox) -> None:
    sandbox.tools["load"] = lambda: [pd.DataFrame({"a": [1]}), np.zeros(2)]
    sandbox.tools["table"] = lambda: pa.table({"a": [1]})
    assert sandbox.run("[type(x).__name__ for x in load()], type(table()).__name__").value == (
        "(['DataFrame', 'ndarray'], 'Table')"
    )


def test_the_host_unpickles_nothing() -> None:
    for path in Path(values.__file__).parent.glob("*.py"):
        assert not re.search(r"pickle\.loads?\b|Unpickler|read_pickle", path.read_text()), path
    forged = {"head": {"k": "pickle", "part": 0, "stream": 9, "buffers": []}}
    with pytest.raises(ValueNotReadable, match="unknown form"):
        values.received("x", forged, [b"forged"])
