"""Unmodified dspy.RLM on dspy's LocalInterpreter, driven by the stand-in over real data."""

from __future__ import annotations

import ast
import re
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import dspy
import pytest

from fleet_rlm.lm.offline import LABEL, offline_lm


def run(question: str, context: Any, signature: str = "prompt, context -> answer", **options: Any) -> dspy.Prediction:
    rlm = dspy.RLM(signature, interpreter_factory=dspy.LocalInterpreter, **options)
    with dspy.context(lm=offline_lm()):
        return rlm(prompt=question, context=context)


def standard_library() -> dict[str, str]:
    """Sources of the running interpreter's top-level modules: LocalInterpreter sends its inputs with every cell."""
    root = Path(sysconfig.get_path("stdlib"))
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(root.glob("*.py"))}


def removals(files: dict[str, str]) -> set[tuple[str, str]]:
    """(module, version) of every call of warnings._deprecated with a literal `remove`."""
    found = set()
    for name, text in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) == "warnings._deprecated":
                for keyword in call.keywords:
                    if keyword.arg == "remove":
                        found.add((name, ".".join(map(str, ast.literal_eval(keyword.value)))))
    return found


def test_removals_announced_in_the_standard_library() -> None:
    files = standard_library()
    gold = removals(files)
    assert gold
    question = "Which modules announce a removal by `warnings._deprecated`, and for which Python version?"
    prediction = run(question, files)
    told = re.findall(r"(?m)^- (\S+\.py): (.+)$", prediction.answer)
    assert {(name, version) for name, versions in told for version in versions.split(", ")} == gold
    for name, _ in gold:
        line = re.search(rf"(?m)^ +{re.escape(name)}:(\d+): `", prediction.answer)
        assert line is not None
        assert "_deprecated(" in files[name].splitlines()[int(line[1]) - 1]
    assert prediction.answer.count(LABEL) == 1
    assert any("llm_query_batched" in step["code"] for step in prediction.trajectory)


def test_records_are_aggregated() -> None:
    rows = [{"ward": ward, "births": births} for ward, births in [("Oak", 3), ("Elm", 9), ("Oak", 4)]]
    assert run("Which ward has the most births?", rows).answer.startswith("Elm has the highest total of births: 9")


def test_other_output_names_are_honoured() -> None:
    prediction = run("How many lines mention 'x'?", "x\ny\nx", signature="prompt, context -> verdict")
    assert prediction.verdict.startswith("2 lines mention")


@pytest.mark.parametrize("iterations", [1, 2])
def test_few_iterations_still_end_in_a_labelled_answer(iterations: int) -> None:
    answer = run("How many lines mention 'x'?", "x\ny\nx", max_iters=iterations).answer
    assert answer.startswith("2 lines mention")
    assert answer.count(LABEL) == 1


def test_extraction_passes_on_what_the_history_holds() -> None:
    from dspy.primitives.repl_types import REPLHistory

    rlm = dspy.RLM("prompt, context -> answer")
    empty = REPLHistory()
    with dspy.context(lm=offline_lm()):
        nothing = rlm.extract(variables_info="", repl_history=empty).answer
        known = rlm.extract(
            variables_info="", repl_history=empty.append(code="print(1)", output="rows kept: 12 of 40")
        ).answer
    assert "before anything was found" in nothing
    assert "I could not finish" in known
    assert "rows kept: 12 of 40" in known
    assert LABEL in known
