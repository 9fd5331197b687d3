"""What a request says twice, or says in no JSON, is refused."""

from __future__ import annotations

import pytest

from fleet_rlm.server.asked import arguments, document
from fleet_rlm.server.services.errors import Refused
from fleet_rlm.server.services.execution.messages import heard


def test_arguments_are_text_each_once_without_those_of_the_sign_in() -> None:
    assert arguments({"since": [b"3"], "name": ["ü".encode()], "token": [b"a", b"b"]}) == {"since": "3", "name": "ü"}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"since": [b"1", b"2"]}, "'since' is given more than once"),
        ({"since": [b"1", b"1"]}, "'since' is given more than once"),
        ({"since": [b"\xff"]}, "'since' is no text"),
        ({"a\r\nb": [b"1", b"2"]}, r"'a\r\nb' is given more than once"),
    ],
)
def test_an_argument_that_could_be_either_is_refused(query: dict[str, list[bytes]], told: str) -> None:
    with pytest.raises(Refused) as refused:
        arguments(query)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"message": "a", "message": "b"}', "'message' more than once"),
        (b'{"metadata": {"a": 1, "b": [{"c": 1, "c": 1}]}}', "'c' more than once"),
        (b'{"a": 1, "\\u0061": 2}', "'a' more than once"),
        (b'{"value": NaN}', "NaN"),
        (b'{"value": -Infinity}', "-Infinity"),
        (b'{"value": 1e999}', "1e999"),
    ],
)
def test_what_programs_would_read_differently_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(Refused, match=told):
        document(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000, b'{"a": 1.5e10}', "1".encode("utf-16")]
)
def test_all_else_is_left_for_the_model(raw: bytes) -> None:
    assert document(raw) is raw


def test_messages_over_a_socket_are_read_as_strictly() -> None:
    with pytest.raises(Refused, match="'content' more than once"):
        heard('{"type": "message", "content": "a", "content": "b"}')
