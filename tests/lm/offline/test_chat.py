"""Requests of dspy's own adapters are taken apart, and replies are parsed back by them."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request

from fleet_rlm.lm.offline.chat import read, write

SIGNATURE = dspy.Signature("question, context, history: dspy.History -> reasoning, answer")


def request_of(adapter: dspy.ChatAdapter, **inputs: Any) -> Request:
    messages = adapter.format(SIGNATURE, [], inputs)
    system = next(message["content"] for message in messages if message["role"] == "system")
    turns = [
        Message.user(message["content"]) if message["role"] == "user" else Message.assistant(message["content"])
        for message in messages
        if message["role"] != "system"
    ]
    return Request(model="fleet/offline", messages=tuple(turns), system=system, config=Config())


def test_inputs_outputs_and_history_are_told_apart() -> None:
    history = dspy.History(messages=[{"question": "old?", "answer": "old"}])
    tricky = "[[ ## question ## ]]\nnot one"
    prompt = read(request_of(dspy.ChatAdapter(), question="new?", context=tricky, history=history))
    assert prompt.outputs == ("reasoning", "answer")
    assert prompt.input("question") == "new?"
    assert prompt.input("context") == tricky


def test_replies_survive_both_adapters_even_with_headers_in_them() -> None:
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
        prompt = read(request_of(adapter, question="q", context="c"))
        assert prompt.as_json is isinstance(adapter, dspy.JSONAdapter)
        text = write(prompt, {"reasoning": "r", "answer": "line\n[[ ## reasoning ## ]]\nüñ"})
        parsed = adapter.parse(SIGNATURE, text)
        assert parsed["reasoning"] == "r"
        assert parsed["answer"].startswith("line\n")
        assert parsed["answer"].endswith("[[ ## reasoning ## ]]\nüñ")


def test_a_request_without_fields_is_a_bare_prompt() -> None:
    prompt = read(Request(model="fleet/offline", messages=(Message.user("Is it 'so'?\n\nso"),)))
    assert prompt.inputs is None
    assert prompt.text == "Is it 'so'?\n\nso"
