"""The agent's steps: call the functions that the question names; else hand it to the recursive model, or run code
oneself where only that is offered; finish.

Two kinds of request: a step (`next_thought`, `next_tool_name`, `next_tool_args`) and the final extraction (`answer`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from fleet_rlm.lm.offline.chat import Prompt
from fleet_rlm.lm.offline.named import named_calls
from fleet_rlm.lm.offline.variables import read_variables
from fleet_rlm.lm.offline.wording import LABEL, labelled, refusal
from fleet_rlm.lm.offline.words import sections
from fleet_rlm.lm.offline.work import Step, Work, next_cell

NAMED = "The question names this function, so I call it with what is quoted."
_TOOL = re.compile(r"^\s*\(\d+\) (\w+)(?:,|\.)", re.MULTILINE)
_TRACE = re.compile(r"^\[\[ ## (thought|tool_name|tool_args|observation)_(\d+) ## \]\]\n", re.MULTILINE)


def step(prompt: Prompt) -> dict[str, Any]:
    """The next thought, tool and arguments."""
    question, tools = prompt.input("question"), _TOOL.findall(prompt.instructions)
    trace = read_trajectory(prompt.input("trajectory"))
    variables = read_variables(prompt.input("context"))
    if calls := named_calls(question, prompt.instructions):
        made = [one for one in trace if one.get("thought") == NAMED]
        if len(made) < len(calls):
            return _act(NAMED, calls[len(made)].tool, calls[len(made)].arguments)
        return _act("All that the question names is called.", "finish", {})
    if not variables or any(one.get("tool_name") == "delegate_to_rlm" for one in trace) or not tools:
        return _act("There is nothing left to do.", "finish", {})
    if "delegate_to_rlm" in tools:
        names = ", ".join(f"`{variable.name}`" for variable in variables)
        thought = f"The question is about {names}: only code over the values can answer it, so I delegate it."
        return _act(thought, "delegate_to_rlm", {"query": question})
    if "execute_code" not in tools:
        return _act("No tool can reach the data.", "finish", {})
    steps = _steps(trace)
    if any(LABEL in one.output for one in steps):
        return _act("The code has printed the answer.", "finish", {})
    cell = next_cell(Work(question, variables, steps, submit="print("))
    return _act(cell.thought, "execute_code", {"code": cell.text()})


def final(prompt: Prompt) -> str:
    """The answer after the last step: the last labelled observation, else why there is none."""
    trace = read_trajectory(prompt.input("trajectory"))
    observed = [one["observation"] for one in trace if one.get("observation") and one.get("tool_name") != "finish"]
    answers = [text for text in observed if LABEL in text]
    if answers:
        return labelled(answers[-1].strip())
    if called := [one for one in trace if one.get("thought") == NAMED]:
        return labelled("\n".join(f"- {_call(one)}: {one.get('observation', '').strip()}" for one in called))
    if observed:
        return labelled(f"I could not finish. The last thing I saw: {observed[-1].strip()[:1000]}")
    return refusal("" if read_variables(prompt.input("context")) else "No data was given with the question.")


def read_trajectory(text: str) -> list[dict[str, str]]:
    """One mapping per step, from field name without its number to text."""
    steps: dict[int, dict[str, str]] = {}
    for head, body in sections(_TRACE, text):
        steps.setdefault(int(head[2]), {})[head[1]] = body.strip("\n")
    return [steps[index] for index in sorted(steps)]


def _steps(trace: list[dict[str, str]]) -> list[Step]:
    steps = []
    for one in trace:
        if one.get("tool_name") == "execute_code":
            try:
                code = str(json.loads(one.get("tool_args", "")).get("code", ""))
            except (ValueError, AttributeError):
                code = one.get("tool_args", "")
            steps.append(Step(code, one.get("observation", "")))
    return steps


def _call(one: dict[str, str]) -> str:
    """A call that was made, as a person would write it."""
    return f"{one['tool_name']}({', '.join(map(repr, json.loads(one['tool_args']).values()))})"


def _act(thought: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}
