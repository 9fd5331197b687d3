"""Bare prompts: rules over the text they bring, never over anything else."""

from __future__ import annotations

import pytest

from fleet_rlm.lm.offline.subquery import READ_ITEMS, reply, split_task
from fleet_rlm.lm.offline.wording import CANNOT, LABEL

BILL = "Bill number: 88231, due on 2024-02-03. Amount $1,200.50. Contact kay@ex.org, see https://ex.org/b?x=1 for more."


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("What is the bill number?", "88231"),
        ("When is the bill due?", "2024-02-03"),
        ("Extract the amount.", "$1,200.50"),
        ("What e-mail address is given?", "kay@ex.org"),
        ("Which url is given?", "https://ex.org/b?x=1"),
        ("Which version is it?", "none"),
    ],
)
def test_values_are_extracted_or_none(task: str, value: str) -> None:
    for prompt in (f"{task}\n\nText: {BILL}", f"{task}\n```\n{BILL}\n```", f"{task}\n\n{BILL}"):
        assert reply(prompt) == value


def test_labels_are_chosen_by_their_own_words() -> None:
    prompt = "Classify the ticket as one of: billing, shipping, login problem.\n\nTicket: {}"
    assert reply(prompt.format("My shipping label is wrong")) == "shipping"
    assert reply(prompt.format("A login problem since Monday")) == "login problem"
    assert reply(prompt.format("Hello there")) == "none"


def test_yes_or_no_by_mention() -> None:
    prompt = "Does the following text mention '{}'? Answer yes or no.\n\nThe Ferry left early."
    assert reply(prompt.format("ferry")) == "yes"
    assert reply(prompt.format("train")) == "no"


def test_summaries_are_leading_sentences_and_say_so() -> None:
    text = reply("Summarize the text.\n\nText: One is first. Two is next. Three is last.")
    assert text.startswith("Leading sentences: One is first. Two is next.")
    assert "Three" not in text
    assert LABEL in text


def test_numbered_items_are_read_one_by_one() -> None:
    prompt = READ_ITEMS.format(attribute="Python version", question="for which version is the removal?")
    prompt += (
        '[1] a.py:3: warn("gone", remove=(3, 15))\n[2] b.py:9: "deprecated since 3.1"\n[3] c: removed in Python 4.0'
    )
    assert reply(prompt).splitlines() == ["[1] 3.15", "[2] none", "[3] 4.0"]


@pytest.mark.parametrize("prompt", ["Write a haiku", "What is 2+2?", "Translate this to French:\n\nhello"])
def test_other_prompts_are_refused(prompt: str) -> None:
    assert reply(prompt).startswith(CANNOT)
    assert reply(prompt).count(LABEL) == 1


def test_task_and_text_are_told_apart_in_either_order() -> None:
    assert split_task("Context: The mast is red.\n\nQuestion: What colour is the mast?") == (
        "What colour is the mast?",
        "The mast is red.",
    )
    assert split_task("Find the year: built in 1931 by hand") == ("Find the year", "built in 1931 by hand")
