"""What is wrong with a request is told by its place, with what belongs there, and without what was sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from fleet_rlm.server.faults import MOST, faults
from fleet_rlm.server.services.execution.messages import Said
from fleet_rlm.server.services.runs.models import GiveFeedback, RunQuery, StartRun
from fleet_rlm.server.services.sessions.models import PatchSession


def told(wanted: Any, sent: str) -> str:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(wanted).validate_json(sent)
    return faults(raised.value)


@pytest.mark.parametrize(
    ("wanted", "sent", "sentence"),
    [
        (StartRun, "{}", "message is missing"),
        (StartRun, '{"message": "a", "mesage": 1}', "mesage is not known here, leave it out"),
        (StartRun, '{"message": "a", "budget": 0}', "budget: Input should be greater than or equal to 1"),
        (
            StartRun,
            '{"message": "a", "repo_ref": "main"}',
            "repo_ref needs repo_url: a branch, tag or commit is one of",
        ),
        (StartRun, "{", "this is no JSON: EOF while parsing an object at line 1 column 1"),
        (StartRun, "[]", "body: Input should be an object"),
        (
            StartRun,
            '{"message": "a", "session": "\\n"}',
            "session has a character that cannot be in it, such as a line",
        ),
        (
            RunQuery,
            '{"session": "a\\u0000"}',
            "session has a character that cannot be in it, such as a line end or NUL",
        ),
        (GiveFeedback, '{"value": []}', "value: a judgement is true or false, a number, or one line of up to 100"),
        (PatchSession, "{}", "say what to change: title, metadata, or both"),
        (
            Said,
            '{"type": "cancel", "run": "../x"}',
            "cancel.run is no id or name: they are made of letters, digits and",
        ),
        (Said, '{"type": "shout"}', "'type' must be one of 'message', 'cancel', 'command', 'approve'"),
        (Said, '{"content": "a"}', "'type' is missing"),
    ],
)
def test_what_is_wrong_is_a_sentence_with_the_way_out(wanted: type[BaseModel], sent: str, sentence: str) -> None:
    assert told(wanted, sent).startswith(sentence)


def test_many_faults_are_told_up_to_a_number_and_names_are_cut() -> None:
    sent = "{" + ", ".join(f'"{"x" * 5_000}{number}": 1' for number in range(MOST + 5)) + "}"
    sentence = told(StartRun, sent)
    assert sentence.endswith("and 6 more")  # the message that is missing is one of them
    assert len(sentence) < MOST * 200


def test_what_was_sent_is_not_repeated() -> None:
    assert "s3cret" not in told(StartRun, '{"message": ["s3cret"], "session": "s3cret\\n", "mode": "s3cret"}')
    assert "s3cret" not in told(Said, '{"type": "s3cret"}')
