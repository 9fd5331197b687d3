"""Questions over texts are read into families, terms and attributes."""

from __future__ import annotations

import re

import pytest

from fleet_rlm.lm.offline.text_question import read_text_question


@pytest.mark.parametrize(
    ("question", "family", "terms"),
    [
        ("Which modules announce a removal by `a.b`, and for which Python version?", "read", ("a.b",)),
        ("Which notes mention invoices, and what amount do they name?", "read", ("invoices",)),
        ("How many lines mention TODO?", "count", ("TODO",)),
        ("How many files import asyncio?", "count", ("asyncio",)),
        ("How often does 'quartz' occur?", "count", ("quartz",)),
        ("Quote the lines that mention \"connection reset\".", "quote", ("connection reset",)),
        ("Find lines mentioning timeouts.", "quote", ("timeouts",)),
        ("In which files does the word \"budget\" appear?", "where", ("budget",)),
        ("Top 5 files by mentions of `self`", "rank", ("self",)),
        ("Which file mentions 'retry' least often?", "rank", ("retry",)),
        ("Which 3 files have the most lines?", "size", ()),
        ("How many characters are there?", "totals", ()),
        ("When was \"disk full\" first reported?", "moment", ("disk full",)),
        ("What is the magic number for crimson-otter?", "value", ("magic", "crimson-otter")),
        ("Who is the owner of the billing service?", "value", ("owner", "billing", "service")),
    ],
)  # fmt: skip
def test_families(question: str, family: str, terms: tuple[str, ...]) -> None:
    read = read_text_question(question)
    assert read is not None
    assert (read.family, read.terms) == (family, terms)


@pytest.mark.parametrize(
    "question", ["", "Hello", "Write a poem about the sea", "Why did it crash?", "Explain X to me"]
)
def test_what_no_family_fits_is_refused(question: str) -> None:
    assert read_text_question(question) is None


def test_the_attribute_keeps_the_words_of_the_question() -> None:
    read = read_text_question("Which modules warn by `x`, and in which Python version?")
    assert read is not None
    assert (read.attribute, read.noun, read.form) == ("Python version", "modules", "announce")


def test_counts_orders_and_units() -> None:
    fewest = read_text_question("Which two files have the fewest lines?")
    assert fewest is not None
    assert (fewest.top, fewest.rising, fewest.unit) == (2, True, "lines")
    times = read_text_question("How many times is `os.path.join` called per module?")
    assert times is not None
    assert (times.unit, times.form, times.each) == ("times", "call", True)


def test_patterns_are_exact_for_quoted_terms_and_lenient_for_plain_words() -> None:
    exact, lenient = (
        read_text_question("How many lines mention 'Time out'?"),
        read_text_question("lines about a time out?"),
    )
    assert exact is not None
    assert lenient is not None
    assert re.search(exact.pattern(), "a Time out!")
    assert not re.search(exact.pattern(), "a time out!")
    assert re.search(lenient.pattern(), "TIME  OUTS")
    assert not re.search(lenient.pattern(), "timeout")


def test_forms_stand_for_syntax() -> None:
    read = read_text_question("Which files define `run`?")
    assert read is not None
    assert re.search(read.pattern(), "    def run(self):")
    assert not re.search(read.pattern(), "rerun(run)")
    imports = read_text_question("How many files import os?")
    assert imports is not None
    assert re.search(imports.pattern(), "import sys, os\n")
    assert re.search(imports.pattern(), "\n    from os.path import join")
    assert not re.search(imports.pattern(), "import ossaudiodev")


@pytest.mark.parametrize(
    ("question", "groups", "barred"),
    [
        ("How many lines mention WARN and drizzle?", [["WARN"], ["drizzle"]], []),
        ("How many lines mention hail or sleet?", [["hail", "sleet"]], []),
        ("How many lines contain neither 'hail' nor 'sleet'?", [], ["hail", "sleet"]),
        ("How many lines contain GALE without sleet?", [["GALE"]], ["sleet"]),
        ("How many lines don't mention hail but contain sleet?", [["sleet"]], ["hail"]),
        ("How many GALE lines on 2031-02-03?", [["GALE"], ["2031-02-03"]], []),
    ],
)  # fmt: skip
def test_terms_are_joined_as_the_question_joins_them(question: str, groups: list[list[str]], barred: list[str]) -> None:
    read = read_text_question(question)
    assert read is not None
    assert ([list(group) for group in read.groups], list(read.barred)) == (groups, barred)
    assert not read.unused


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How many GALE lines since 2031-02-03?", "since"),
        ("How many GALE lines are suspicious?", "suspicious"),
        ("How many lines mention 'a' and 'b' or 'c'?", "or"),
        ("How many GALE and WARN lines are there?", "and"),
        ("How many lines do not contain 'a' and 'b'?", "and"),
        ("How many times does 'a' occur without 'b'?", "not"),
        ("How many more lines mention 'a' than 'b'?", "than"),
    ],
)
def test_words_that_change_the_meaning_are_named_not_ignored(question: str, word: str) -> None:
    read = read_text_question(question)
    assert read is not None
    assert word in read.unused
