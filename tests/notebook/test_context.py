from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.error import UsageError

from fleet_rlm.notebook.context import INSERTED_CHARS, gather, interpolate, texts_that_name_files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "my notes.txt").write_text("hello")
    (tmp_path / "data.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(call: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert type(caught.value) is UsageError
    return str(caught.value)


def test_variables_are_handed_over_by_reference() -> None:
    big, table = "x" * 10_000, {"k": [1]}
    context = gather(["big,table"], {"big": big, "table": table})
    assert context["big"] is big
    assert context["table"] is table


def test_lookups_get_a_name_of_their_own() -> None:
    namespace = {"cfg": SimpleNamespace(data={"a,b": 1}), "xs": [7]}
    assert gather(["""cfg.data["a,b"], xs[0]"""], namespace) == {"cfg_data_a_b": 1, "xs_0": 7}


def test_a_value_can_be_given_another_name() -> None:
    assert gather(["old=df", "new=xs[1]"], {"df": 1, "xs": [0, 5]}) == {"old": 1, "new": 5}


def test_a_path_on_the_line_is_the_file_or_directory(here: Path) -> None:
    assert gather(["logs"], {}) == {"logs": Path("logs")}
    assert gather(["./logs,data.csv"], {}) == {"logs": Path("logs"), "data": Path("data.csv")}
    assert gather(["'my notes.txt'"], {}) == {"my_notes": Path("my notes.txt")}


def test_a_variable_that_holds_a_path_keeps_its_own_name(here: Path) -> None:
    assert gather(["sources"], {"sources": Path("logs")}) == {"sources": Path("logs")}


def test_a_variable_wins_over_a_path_and_quotation_marks_over_a_variable(here: Path) -> None:
    assert gather(["logs"], {"logs": "text"}) == {"logs": "text"}
    assert gather(["'logs'"], {"logs": "text"}) == {"logs": Path("logs")}
    assert gather(["data.csv"], {"data": 1}) == {"data": Path("data.csv")}


def test_a_str_variable_is_text_even_where_a_file_is_called_that(here: Path) -> None:
    assert gather(["name"], {"name": "data.csv"}) == {"name": "data.csv"}


def test_a_text_is_told_from_what_it_names(here: Path) -> None:
    assert texts_that_name_files({"a": "data.csv", "b": "logs"}) == [
        "`a` is the text 'data.csv', not the file; pass Path('data.csv') to have that read",
        "`b` is the text 'logs', not the directory; pass Path('logs') to have that read",
    ]


@pytest.mark.parametrize(
    "value", ["", "none.csv", "x" * 300, "x" * 100_000, "a\0b", "\ud800", "~nobody/x", 7, Path("logs")]
)
def test_other_values_are_not_taken_for_paths(here: Path, value: object) -> None:
    assert texts_that_name_files({"value": value}) == []


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("lgos", "there is no variable `lgos` and no file or directory 'lgos'; did you mean logs?"),
        ("'none.txt'", "there is no file or directory 'none.txt', and no variable could be called that"),
        ("./none", "there is no file or directory 'none', and no variable could be called that"),
        ("logs[9]", "`logs` has no item 9; it has 1 items"),
        ("class=logs", "`class` is a word of Python and cannot be the name of a value: --with class=logs"),
        ("a\0b", "there is no file or directory 'a\\x00b', and no variable could be called that"),
    ],
)
def test_what_is_not_there_is_said(
    written: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(gather, [written], {"logs": ["a"]}) == sentence


def test_two_values_cannot_share_a_name(here: Path) -> None:
    sentence = said(gather, ["logs,'logs'"], {"logs": "text"})
    assert sentence == "two values of --with would be called `logs`; rename one: --with other='logs'"
    assert gather(["logs,logs"], {"logs": "text"}) == {"logs": "text"}


def test_double_braces_are_replaced_and_nothing_else() -> None:
    namespace = {"city": "Oslo", "cfg": SimpleNamespace(n=[3])}
    assert interpolate("{{ city }} has {{cfg.n[0]}} {of} $x {0} %s", namespace) == "Oslo has 3 {of} $x {0} %s"


def test_an_inserted_value_is_not_read_again() -> None:
    assert interpolate("{{a}}", {"a": "{{b}}"}) == "{{b}}"


def test_a_backslash_keeps_the_braces() -> None:
    assert interpolate(r"write \{{name}} so", {}) == "write {{name}} so"


def test_a_lookup_that_fails_is_said() -> None:
    assert said(interpolate, "{{ctiy}}", {"city": 1}) == "there is no variable `ctiy`; did you mean city?"
    assert "is not a variable" in said(interpolate, "{{1+1}}", {})


def test_a_value_too_long_for_a_question_is_refused_with_the_way_out() -> None:
    sentence = said(interpolate, "{{ text }}", {"text": "x" * (INSERTED_CHARS + 1)})
    assert sentence.endswith("too long to stand in the question; hand it over with --with text")
