"""Descriptions are read back from dspy's layout and from the agent's."""

from __future__ import annotations

from dspy.adapters.utils import format_field_value
from dspy.primitives.repl_types import REPLVariable
from pydantic.fields import FieldInfo

from fleet_rlm.lm.offline.variables import read_variables, split_question
from fleet_rlm.rlm.describe import describe, prompt_text


def test_dspy_list_of_variables_is_read_back_whole() -> None:
    values = {"prompt": "First line?\n\nSecond ``` line.", "context": {"a.py": "x\ny"}, "table": [{"a": 1}]}
    described = [REPLVariable.from_value(name, value).format() for name, value in values.items()]
    variables = read_variables(format_field_value(FieldInfo(annotation=str), described))
    assert [variable.name for variable in variables] == ["prompt", "context", "table"]
    question, data = split_question(variables)
    assert question == values["prompt"]
    assert [variable.type for variable in data] == ["dict", "list"]
    assert '"a.py": "x\\ny"' in data[0].preview


def test_agent_descriptions_are_read_back() -> None:
    text = "\n\n".join(prompt_text(describe(name, value)) for name, value in {"logs": "a\nb", "rows": [1]}.items())
    variables = read_variables(text)
    assert [(variable.name, variable.type) for variable in variables] == [("logs", "str"), ("rows", "list")]
    assert variables[0].preview == "a\nb"


def test_data_that_speaks_of_variables_describes_none() -> None:
    text = prompt_text(describe("notes", "Variable: `x` is a name\nVariable: `y`"))
    assert [variable.name for variable in read_variables(text)] == ["notes"]


def test_a_text_without_descriptions_has_no_variables() -> None:
    assert read_variables("Variables are nice.") == []
