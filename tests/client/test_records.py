"""The client's records are the server's models, field by field: neither changes without the other."""

from __future__ import annotations

import datetime
import inspect
import types
import typing
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from pydantic import BaseModel

from fleet_rlm.client import records
from fleet_rlm.server.operations import OPERATIONS

OTHER_NAMES = {"VolumeTree": "Tree"}
NOT_READ = {
    "Stopped": "the verb returns nothing",
    "Ticket": "for pages, which cannot set the header that this client sets",
    "EventPage": "events come over the WebSocket, and whole logs as NDJSON",
}


def answered() -> dict[str, type[BaseModel]]:
    """Every model that some route answers with, and those inside them, by name; of pages what they hold."""
    found: dict[str, type[BaseModel]] = {}
    pending: list[Any] = [operation.answer for operation in OPERATIONS.values()]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                pending += [field.annotation for field in kind.model_fields.values()]
        else:
            pending += [one for one in get_args(kind) if not isinstance(one, str)]
    return found


def plain(kind: Any) -> Any:
    """A type in one spelling for both worlds: literals are texts, a model or record is its name here."""
    origin = get_origin(kind)
    if origin is Literal:
        return "str"
    if origin in (typing.Union, types.UnionType):
        return "|".join(sorted({plain(one) for one in get_args(kind)}))
    if origin is not None:
        return f"{origin.__name__}[{','.join(plain(one) for one in get_args(kind))}]"
    name = getattr(kind, "__name__", str(kind))
    return OTHER_NAMES.get(name, name)


def page_of(model: type[BaseModel]) -> bool:
    return set(model.model_fields) == {"items", "total", "offset", "limit", "has_more"}


MODELS = {name: model for name, model in answered().items() if name not in NOT_READ and not page_of(model)}


@pytest.mark.parametrize("name", MODELS)
def test_a_record_has_every_field_of_its_model_and_no_other(name: str) -> None:
    model = MODELS[name]
    record = getattr(records, OTHER_NAMES.get(name, name))
    ours = {field.name: field for field in msgspec.structs.fields(record)}
    hints = typing.get_type_hints(record, vars(records))
    for field, told in model.model_fields.items():
        assert field in ours, f"{record.__name__} does not know {field}"
        assert plain(hints[field]) == plain(told.annotation), field
        assert ours[field].required == told.is_required(), field
    assert set(ours) == set(model.model_fields)


def test_a_page_is_the_servers_envelope() -> None:
    pages = [model for model in answered().values() if page_of(model)]
    assert len(pages) >= 5
    for page in pages:
        assert set(page.model_fields) == {field.name for field in msgspec.structs.fields(records.Page)}


def test_every_record_is_of_something_a_server_tells() -> None:
    ours = {
        name for name, kind in vars(records).items() if inspect.isclass(kind) and kind.__module__ == records.__name__
    }
    assert ours - {"Page"} == {OTHER_NAMES.get(name, name) for name in MODELS}


def test_a_later_servers_field_is_left_out() -> None:
    told = b'{"ok":true,"version":"9","colour":"blue"}'
    assert msgspec.json.decode(told, type=records.Health) == records.Health(ok=True, version="9")


def test_a_time_knows_its_zone() -> None:
    told = b'{"kind":"lm","ok":true,"checked_at":"2026-11-25T10:00:00Z","latency_ms":1.5,"detail":""}'
    assert msgspec.json.decode(told, type=records.Checked).checked_at.tzinfo is datetime.UTC
