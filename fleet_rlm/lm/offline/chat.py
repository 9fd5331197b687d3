"""Reading a request and writing a reply in the chat or JSON layout that dspy's adapters use.

A request with an output-field list becomes a `Prompt`; any other text is a bare prompt, `Prompt.outputs` empty.
Only the last user message is read: earlier turns are history, and an answer to a question that seems to refer to them
says that they were not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspy.lm15 import Message, Request

_FIELD = re.compile(r"^\d+\. `(\w+)` \(.*?\):", re.MULTILINE)
_REMINDER = re.compile(r"\n*Respond with (?:the corresponding output fields|a JSON object)[^\n]*\s*\Z")
_HEADER = re.compile(r"^(\s*)\[\[ ## ", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """One request, taken apart."""

    text: str
    """The last user message as sent."""
    instructions: str = ""
    """The system message: task, tools, rules."""
    inputs: Mapping[str, str] | None = None
    """Input field name to its text; None for a bare prompt."""
    outputs: tuple[str, ...] = ()
    """Names of the output fields, in order."""
    turns: int = 0
    """Questions asked before this one in the same conversation."""
    as_json: bool = False
    """True when the reply must be one JSON object."""

    def input(self, name: str) -> str:
        return (self.inputs or {}).get(name, "")


def read(request: Request) -> Prompt:
    """Take a request apart; a request without an output-field list is a bare prompt."""
    system = request.system or ""
    instructions = system if isinstance(system, str) else "".join(_text_of_part(part) for part in system)
    users = [message for message in request.messages if message.role == "user"]
    text = _text_of(users[-1]) if users else ""
    head, found, tail = instructions.partition("Your output fields are:")
    if not found:
        return Prompt(text=text, instructions=instructions)
    tail = tail.partition("All interactions will be structured")[0]
    as_json = "Outputs will be a JSON object" in instructions or request.config.response_format is not None
    inputs, outputs = _sections(text, _FIELD.findall(head)), tuple(_FIELD.findall(tail))
    return Prompt(text, instructions, inputs, outputs, len(users) - 1, as_json)


def write(prompt: Prompt, fields: Mapping[str, Any]) -> str:
    """The reply text that dspy's adapter parses back into `fields`."""
    if prompt.as_json:
        return json.dumps(fields, ensure_ascii=False)
    parts = [f"[[ ## {name} ## ]]\n{_plain(value)}" for name, value in fields.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _plain(value: Any) -> str:
    # A quoted line that looks like a field header would end the field early, so it is set off as a quotation.
    return _HEADER.sub(r"\1> [[ ## ", value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sections(text: str, names: list[str]) -> dict[str, str]:
    """Cut the message at the declared headers, in order: data may contain other headers."""
    body = _REMINDER.sub("", text)
    starts: list[tuple[str, int, int]] = []
    position = 0
    for name in names:
        header = f"[[ ## {name} ## ]]"
        at = body.find(header, position)
        if at >= 0:
            position = at + len(header)
            starts.append((name, at, position))
    ends = [at for _, at, _ in starts[1:]] + [len(body)]
    return {name: body[begin:end].strip("\n") for (name, _, begin), end in zip(starts, ends, strict=True)}


def _text_of(message: Message) -> str:
    return "\n".join(_text_of_part(part) for part in message.parts)


def _text_of_part(part: Any) -> str:
    return str(getattr(part, "text", ""))
