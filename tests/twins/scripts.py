"""Scripts for the LM server that answer dspy's prompts: who asks, what was given, and replies in the format asked for.

`by_role` finds out which part of the agent a prompt comes from and takes the next reply of that role:

    script = by_role(
        react_step=[react_step("look", "delegate_to_rlm", query="how many?"), react_step("done", "finish")],
        react_extract=answer(answer="42"),
        rlm_action=lambda prompt: rlm_action("count", "SUBMIT(answer=len(context))"),
    )
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from tests.twins.lm_server import Script
from tests.twins.replies import Reply

Role = Literal["react_step", "react_extract", "rlm_action", "rlm_extract", "direct", "bare"]


class Fields(str):
    """A reply with named output fields, in dspy's chat format; `json()` is the same in its JSON format."""

    fields: dict[str, Any]

    def __new__(cls, fields: dict[str, Any]) -> Fields:
        parts = [f"[[ ## {name} ## ]]\n{_plain(value)}" for name, value in fields.items()]
        made = super().__new__(cls, "\n\n".join([*parts, "[[ ## completed ## ]]"]))
        made.fields = fields
        return made

    def json(self) -> str:
        """The reply as one JSON object."""
        return json.dumps(self.fields)


def answer(**fields: Any) -> Fields:
    """Output fields with these values."""
    return Fields(fields)


def react_step(thought: str, tool: str, **args: Any) -> Fields:
    """One step of a ReAct agent: call `tool` with these arguments ("finish" ends it)."""
    return Fields({"next_thought": thought, "next_tool_name": tool, "next_tool_args": args})


def rlm_action(reasoning: str, code: str) -> Fields:
    """One iteration of an RLM: the code to execute."""
    return Fields({"reasoning": reasoning, "code": f"```python\n{code}\n```"})


@dataclass(frozen=True)
class Prompt:
    """A chat request as dspy wrote it."""

    request: dict[str, Any]

    @cached_property
    def system(self) -> str:
        """The system message, empty if there is none."""
        return "\n".join(_text(message) for message in self.request["messages"] if message["role"] == "system")

    @cached_property
    def user(self) -> str:
        """The last message, which holds the inputs."""
        return _text(self.request["messages"][-1])

    @cached_property
    def wants_json(self) -> bool:
        """Whether the reply is to be one JSON object."""
        return "Respond with a JSON object in the following order of fields" in self.user

    @cached_property
    def outputs(self) -> list[str]:
        """The output fields asked for, in order; none in a bare prompt."""
        _, asked, wanted = self.user.rpartition("\nRespond with ")
        pattern = r"`(\w+)`" if self.wants_json else r"\[\[ ## (\w+) ## \]\]"
        return [name for name in re.findall(pattern, wanted) if name != "completed"] if asked else []

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The input fields with their texts."""
        given = self.user.rpartition("\nRespond with ")[0]
        _, *parts = re.split(r"^\[\[ ## (\w+) ## \]\]$", given, flags=re.MULTILINE)
        return {name: value.strip() for name, value in zip(parts[::2], parts[1::2], strict=True)}

    @cached_property
    def role(self) -> Role:
        """Which part of the agent asks."""
        if not self.outputs:
            return "bare"
        if "next_tool_name" in self.outputs:
            return "react_step"
        if "repl_history" in self.inputs:
            return "rlm_action" if "code" in self.outputs else "rlm_extract"
        return "react_extract" if "trajectory" in self.inputs else "direct"


Answer = str | Reply
Replies = Answer | Sequence[Answer] | Callable[[Prompt], Answer]


def by_role(
    *,
    react_step: Replies = (),
    react_extract: Replies = (),
    rlm_action: Replies = (),
    rlm_extract: Replies = (),
    direct: Replies = (),
    bare: Replies = (),
) -> Script:
    """A script that answers each role from its own replies.

    Args:
        react_step: and so on; one reply for every call, a list of replies used up in order, or a function of the
            prompt. A role that is asked more than it has replies is an error of the test.
    """
    replies: dict[Role, Replies] = {
        "react_step": react_step,
        "react_extract": react_extract,
        "rlm_action": rlm_action,
        "rlm_extract": rlm_extract,
        "direct": direct,
        "bare": bare,
    }
    used: dict[Role, int] = dict.fromkeys(replies, 0)
    lock = threading.Lock()

    def script(request: dict[str, Any], call_index: int) -> Answer:
        prompt = Prompt(request)
        with lock:
            turn = used[prompt.role]
            used[prompt.role] += 1
        return _in_format(_pick(replies[prompt.role], prompt, turn), prompt)

    return script


def echo(request: dict[str, Any], call_index: int) -> str:
    """A script that answers with the last message."""
    return Prompt(request).user


def offline_script() -> Script:
    """A script that answers with the rules of `fleet/offline`, so that they go through a real HTTP client."""
    from dspy.lm15 import request_from_openai_chat

    from fleet_rlm.lm.offline import offline_lm

    engine = offline_lm().engine

    def script(request: dict[str, Any], call_index: int) -> str:
        kept = {name: request[name] for name in ("model", "messages", "response_format") if name in request}
        return str(engine.complete(request_from_openai_chat(kept)).text)

    return script


def _pick(replies: Replies, prompt: Prompt, turn: int) -> Answer:
    if callable(replies):
        return replies(prompt)
    if isinstance(replies, str | Reply):
        return replies
    if turn >= len(replies):
        raise LookupError(f"call {turn + 1} of role {prompt.role}, but the script has {len(replies)} replies for it")
    return replies[turn]


def _in_format(reply: Answer, prompt: Prompt) -> Answer:
    text = reply.text if isinstance(reply, Reply) else reply
    if not (prompt.wants_json and isinstance(text, Fields)):
        return reply
    return replace(reply, text=text.json()) if isinstance(reply, Reply) else text.json()


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
