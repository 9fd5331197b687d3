from __future__ import annotations

from typing import get_args

import pytest
from IPython.core.error import UsageError

from fleet_rlm.core.budget import Budget
from fleet_rlm.notebook.arguments import (
    MODES,
    SANDBOXES,
    Arguments,
    given,
    help_text,
    options,
    parse,
    split_words,
    unquoted,
)


def sentence(line: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert type(caught.value) is UsageError, "IPython shows a subclass with a traceback"
    return str(caught.value)


def test_an_empty_line_leaves_every_decision_to_the_engine() -> None:
    assert parse("") == Arguments()


def test_every_option_is_read() -> None:
    line = "--with a,b -o out --model m --sub-model s --budget 40 --usd 0.5 --timeout 90 --depth 0 --mode rlm_only"
    assert parse(f"{line} --concurrency 4 --sandbox process --plan --quiet --detach") == Arguments(
        context=("a,b",),
        output="out",
        model="m",
        sub_model="s",
        budget=40,
        usd=0.5,
        timeout=90.0,
        depth=0,
        concurrency=4,
        mode="rlm_only",
        sandbox="process",
        plan=True,
        quiet=True,
        detach=True,
    )


def test_a_value_may_follow_an_equals_sign_or_stand_in_quotation_marks() -> None:
    assert parse("--budget=3 --model='my model'") == Arguments(budget=3, model="my model")


def test_lists_may_be_written_with_spaces_after_commas_and_in_several_options() -> None:
    assert parse("--with a, b --with 'my file.txt'").context == ("a,b", "'my file.txt'")


def test_a_word_keeps_what_stands_in_quotation_marks_together() -> None:
    assert split_words("""--with d["a b"],'c d' -o x""") == ["--with", """d["a b"],'c d'""", "-o", "x"]
    assert unquoted("'a b'") == "a b"
    assert unquoted("'a") == "'a"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--bugdet 3", "%%fleet has no option --bugdet; did you mean --budget?"),
        ("-x", "%%fleet has no option -x; %%fleet -h lists them"),
        ("--budget", "--budget needs a value: --budget N"),
        ("--budget --quiet", "--budget needs a value: --budget N"),
        ("--budget=", "--budget needs a value: --budget N"),
        ("--budget many", "--budget needs a whole number of at least 1, not 'many'"),
        ("--budget 0", "--budget needs a whole number of at least 1, not '0'"),
        ("--budget 1.5", "--budget needs a whole number of at least 1, not '1.5'"),
        ("--depth -1", "--depth needs a whole number of at least 0, not '-1'"),
        ("--concurrency 0", "--concurrency needs a whole number of at least 1, not '0'"),
        ("--usd 0", "--usd needs a number above 0, not '0'"),
        ("--timeout nan", "--timeout needs a number above 0, not 'nan'"),
        ("--timeout inf", "--timeout needs a number above 0, not 'inf'"),
        ("--mode autp", "--mode autp: choose one of auto, rlm_only, tools_only, direct; did you mean auto?"),
        ("--sandbox docker", "--sandbox docker: choose one of local, process"),
        ("-o 3x", "-o needs the name of a variable, not '3x'"),
        ("-o class", "-o needs the name of a variable, not 'class'"),
        ("--quiet=yes", "--quiet takes no value"),
        ("--with a,", "--with ends in a comma: --with A,B"),
        (
            "Which deploy broke?",
            "'Which' on the %%fleet line is not an option; the question goes on the lines below it",
        ),
        ("budget 3", "'budget' on the %%fleet line is not an option; did you mean --budget?"),
    ],
)
def test_a_slip_gets_one_sentence_that_names_it(line: str, said: str) -> None:
    assert sentence(line) == said


@pytest.mark.parametrize("line", ["what's up", '--model "gpt', "--with 'a"])
def test_an_open_quotation_mark_is_explained(line: str) -> None:
    assert sentence(line).startswith("a quotation mark on the %%fleet line is not closed")


def test_the_help_describes_every_option() -> None:
    text = help_text()
    for option in options().values():
        assert option.usage in text
        assert option.help.split()[0] in text


def test_the_options_that_were_given_can_be_written_again() -> None:
    line = "--with a,d['k'] -o out --budget 40 --quiet"
    assert given(parse(line)) == line
    assert given(Arguments()) == ""


def test_the_choices_are_those_of_the_engine() -> None:
    from fleet_rlm.agent.request import Mode
    from fleet_rlm.sandbox.registry import NAMES

    assert get_args(Mode) == MODES
    assert set(NAMES) == set(SANDBOXES)


def test_the_help_says_what_each_depth_allows() -> None:
    assert "0 allows no sub-calls, 1 sub-queries (llm_query), 2 (the default) sub-RLMs" in options()["depth"].help
    assert Budget().depth == 2
