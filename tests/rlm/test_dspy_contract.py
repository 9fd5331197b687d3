"""The private names of dspy this package relies on still exist and still mean the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import dspy
import pytest
from dspy.predict.rlm import _strip_code_fences
from dspy.primitives.repl_types import REPLHistory

import fleet_rlm
from fleet_rlm.agent import agent
from fleet_rlm.rlm import engine


@pytest.mark.parametrize("name", engine.PRIVATE)
def test_rlm_has_the_private_names_we_call(name: str) -> None:
    assert callable(getattr(dspy.RLM, name))


@pytest.mark.parametrize("name", agent.PRIVATE)
def test_react_has_the_private_names_we_call(name: str) -> None:
    assert callable(getattr(dspy.ReAct, name))


def test_no_other_private_name_of_dspy_is_used() -> None:
    listed = {*engine.PRIVATE, *agent.PRIVATE}
    own = set()
    used = set()
    for path in Path(inspect.getfile(fleet_rlm)).parent.glob("[ar]*/*.py"):
        source = path.read_text(encoding="utf-8")
        own |= set(re.findall(r"(?:def |self\.)(_[a-z]\w*)(?=[\s(:=])", source)) - listed
        used |= set(re.findall(r"(?:self|rlm|super\(\))\.(_[a-z]\w*)\(", source))
    assert used - own == listed


def test_the_prompt_says_what_this_package_replaces() -> None:
    assert "~500K char capacity" in dspy.RLM("prompt -> answer").generate_action.signature.instructions


def test_rules_of_the_default_interpreter_are_replaced_by_ours() -> None:
    class Ours:
        execution_instructions = "OUR RULES"

    signature = dspy.RLM("prompt -> answer")._action_signature_for_current_factory(Ours(), "")
    assert "OUR RULES" in signature.instructions
    assert "import dspy" not in signature.instructions


def test_a_submitted_value_becomes_the_typed_output() -> None:
    rlm = dspy.RLM("prompt -> count: int")
    action = dspy.Prediction(reasoning="", code="")
    step = rlm._process_execution_result(action, "", dspy.FinalOutput({"count": "3"}), REPLHistory(), ["count"])
    assert step.count == 3


def test_a_value_of_the_wrong_type_is_told_to_the_model() -> None:
    rlm = dspy.RLM("prompt -> count: int")
    action = dspy.Prediction(reasoning="", code="")
    step = rlm._process_execution_result(action, "", dspy.FinalOutput({"count": "many"}), REPLHistory(), ["count"])
    assert "[Type Error]" in step.entries[-1].output


def test_code_is_taken_out_of_its_fence_and_other_languages_are_refused() -> None:
    assert _strip_code_fences("```python\nx = 1\n```") == "x = 1"
    with pytest.raises(SyntaxError):
        _strip_code_fences("```bash\nls\n```")
