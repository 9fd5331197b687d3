"""Functions of the user that a question names in backticks: each is called with what the question quotes.

A model finds out by itself which function it needs, and what for; the stand-in has to be told:

    What does `price` say of "tea"?          price(item="tea")
    What does `rate` say of "EUR" and 2024?  rate(currency="EUR", year=2024)
    What does `price` say of "tea" and "milk"?   one call for each, where it takes one text
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_TOOL = re.compile(
    r"^\s*\(\d+\) (\w+)(?:, whose description is <desc>.*?</desc>)?\. It takes arguments \{([^\n]*)\}\.$",
    re.MULTILINE | re.DOTALL,
)
_PARAMETER = re.compile(r"'(\w+)': \{'type': '(\w+)'([^{}]*)\}")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|'([^'\n]+)'")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True)
class Call:
    """One call that the question asks for."""

    tool: str
    arguments: dict[str, Any]


def named_calls(question: str, instructions: str) -> list[Call]:
    """The calls in the order the question names the functions; none of a function that takes what is not quoted."""
    offered = {name: _parameters(written) for name, written in _TOOL.findall(instructions)}
    named = dict.fromkeys(re.findall(r"`(\w+)`", question))
    taking = [(name, parameters) for name in named if (parameters := offered.get(name)) is not None]
    return [call for name, parameters in taking for call in _calls(name, parameters, question)]


def _parameters(written: str) -> list[tuple[str, str]] | None:
    """The required parameters and their types; None where there is one of a kind that no question quotes."""
    if "{" in _PARAMETER.sub("", written):
        return None
    return [(name, kind) for name, kind, more in _PARAMETER.findall(written) if "'default':" not in more]


def _calls(tool: str, parameters: Sequence[tuple[str, str]], question: str) -> list[Call]:
    texts = ["".join(found) for found in _QUOTED.findall(question)]
    numbers = _NUMBER.findall(_QUOTED.sub("", question))
    if [kind for _, kind in parameters] == ["string"]:
        return [Call(tool, {parameters[0][0]: text}) for text in texts]
    given: dict[str, Any] = {}
    for name, kind in parameters:
        if kind == "string" and texts:
            given[name] = texts.pop(0)
        elif kind in ("integer", "number") and numbers:
            number = float(numbers.pop(0))
            given[name] = int(number) if kind == "integer" else number
        else:
            return []
    return [Call(tool, given)]
