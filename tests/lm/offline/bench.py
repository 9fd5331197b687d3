"""A bench for the stand-in: dspy's own prompts, its code run in a plain namespace, sub-queries answered by itself.

`solve` drives the two predictors of an unmodified `dspy.RLM`; only the interpreter is replaced by `exec`, so that
frames and other values that LocalInterpreter cannot carry can be asked about.
"""

from __future__ import annotations

import contextlib
import io
import traceback
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.primitives.repl_types import REPLHistory

from fleet_rlm.lm.offline import LABEL, offline_lm
from fleet_rlm.rlm.describe import describe, prompt_text

RECURSION = "- `sub_rlm_batched(prompts, contexts)` - several of them at once, answers in order."


class Submitted(BaseException):
    """What SUBMIT was called with."""


@dataclass
class Solved:
    """An answer and how it was found."""

    answer: str
    codes: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    children: list[Solved] = field(default_factory=list)

    @property
    def bare(self) -> str:
        """The answer without its label, which must stand in it exactly once."""
        assert self.answer.count(LABEL) == 1, self.answer
        return self.answer.replace(LABEL, "").strip()


def solve(question: str, iterations: int = 8, recursive: bool = False, **values: Any) -> Solved:
    """Let the stand-in answer a question over values, as an RLM would be driven."""
    lm = offline_lm()
    rlm = dspy.RLM(f"{', '.join(['prompt', *values])} -> answer", max_iters=iterations)
    if recursive:
        signature = rlm.generate_action.signature
        rlm.generate_action.signature = signature.with_instructions(f"{signature.instructions}\n{RECURSION}")
    asked = {"name": "prompt", "type": "str", "size": f"{len(question)} characters", "preview": question}
    described = [prompt_text(asked), *(prompt_text(describe(name, value)) for name, value in values.items())]
    solved, history = Solved(""), REPLHistory()
    space = dict(values) | _functions(lm, solved, iterations)
    with dspy.context(lm=lm):
        for index in range(1, iterations + 1):
            action = rlm.generate_action(
                variables_info=described, repl_history=history, iteration=f"{index}/{iterations}"
            )
            code = action.code.removeprefix("```python\n").removesuffix("\n```")
            output, submitted = _run(code, space)
            solved.codes.append(code)
            solved.outputs.append(output)
            if submitted is not None:
                solved.answer = submitted
                return solved
            history = history.append(reasoning=action.reasoning, code=code, output=output)
        solved.answer = rlm.extract(variables_info=described, repl_history=history).answer
    return solved


def _functions(lm: dspy.LM, solved: Solved, iterations: int) -> dict[str, Any]:
    def submit(answer: str) -> None:
        raise Submitted(answer)

    def llm_query_batched(prompts: list[str]) -> list[str]:
        solved.queries += prompts
        return [lm(prompt)[0] for prompt in prompts]

    def sub_rlm_batched(prompts: list[str], contexts: list[Any]) -> list[str]:
        children = [solve(one, iterations, context=value) for one, value in zip(prompts, contexts, strict=True)]
        solved.children += children
        return [child.answer for child in children]

    return {"SUBMIT": submit, "llm_query_batched": llm_query_batched, "sub_rlm_batched": sub_rlm_batched}


def _run(code: str, space: dict[str, Any]) -> tuple[str, str | None]:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "<cell>", "exec"), space)
    except Submitted as end:
        return printed.getvalue(), str(end.args[0])
    except Exception:
        return f"[Error] {printed.getvalue()}{traceback.format_exc()}", None
    return printed.getvalue(), None
