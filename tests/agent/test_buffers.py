"""Buffers: order, limits, and a state that comes back."""

from __future__ import annotations

import json

import pytest

from fleet_rlm.agent import buffers as module
from fleet_rlm.agent.buffers import BufferError, Buffers


def test_texts_are_kept_in_order_and_replaced_only_when_asked() -> None:
    buffers = Buffers()
    buffers.write("found", ["a", "b"])
    assert buffers.write("found", ["c"]) == 3
    assert buffers.read("found") == ["a", "b", "c"]
    buffers.write("found", ["d"], replace=True)
    assert (buffers.read("found"), buffers.names()) == (["d"], {"found": 1})


def test_what_is_not_there_is_an_error_that_names_what_is() -> None:
    buffers = Buffers()
    buffers.write("found", ["a"])
    for wrong in (buffers.read, buffers.clear):
        with pytest.raises(BufferError, match=r"no buffer 'lost'; there are: 'found'"):
            wrong("lost")
    buffers.clear("found")
    assert buffers.names() == {}


def test_a_list_that_was_read_can_be_changed_without_changing_the_buffer() -> None:
    buffers = Buffers()
    buffers.write("found", ["a"])
    buffers.read("found").append("b")
    assert buffers.read("found") == ["a"]


def test_buffers_hold_only_so_much_and_a_refused_write_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_CHARS", 10)
    buffers = Buffers()
    buffers.write("one", ["12345"])
    with pytest.raises(BufferError, match="at most 10 characters"):
        buffers.write("two", ["123456"])
    assert buffers.names() == {"one": 1}
    assert buffers.write("one", ["1234567890"], replace=True) == 1


@pytest.mark.parametrize(("name", "texts"), [("", ["a"]), (" ", ["a"]), ("found", "one text")])
def test_a_write_without_a_name_or_a_list_is_refused(name: str, texts: list[str]) -> None:
    with pytest.raises(BufferError):
        Buffers().write(name, texts)


def test_the_state_is_plain_json_and_comes_back() -> None:
    buffers = Buffers()
    buffers.write("found", ["ä", ""])
    buffers.write("empty", [])
    again = Buffers.from_state(json.loads(json.dumps(buffers.state())))
    assert again.state() == buffers.state() == {"found": ["ä", ""], "empty": []}
