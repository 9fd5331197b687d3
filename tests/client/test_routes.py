"""Every route a program would want has a verb, in both faces, with every field the route takes."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.client import AsyncClient, Client, NotFound
from fleet_rlm.client.synchronous import _Blocking
from fleet_rlm.server.operations import OPERATIONS, Operation
from tests.client.saying import Saying

API = "/fleet/api/v1"
NO_VERB = {
    ("GET", "/fleet/openapi.json"): "a document for generators of clients; whoever has this one needs none",
    ("POST", f"{API}/auth/ws-ticket"): "for pages, which cannot set the header that this one sets",
    ("GET", f"{API}/ws/execution"): "asks, stops and approves, as runs.start, stop and approve do over HTTP",
    ("POST", f"{API}/traces/feedback"): "the older spelling of runs.feedback",
    ("POST", f"{API}/lm/chat/completions"): "for kernels of the server only, which hold its grant",
    ("GET", f"{API}/lm/models"): "for kernels of the server only, which hold its grant",
}
NOT_SENT = {
    ("GET", f"{API}/runs/{{run}}/events"): {"since", "limit"},  # the whole log, a line each
    ("GET", f"{API}/ws/execution/events"): {"session", "trace"},  # its runs are listed first; all of each event
}
NOW = datetime.datetime(2026, 11, 25, 10, tzinfo=datetime.UTC)


def verbs(client: object) -> Iterator[tuple[str, Any]]:
    """Every public method of a client and of what hangs on it, by name."""
    for name in [*vars(client), *dir(type(client))]:
        one = getattr(client, name)
        if name.startswith("_") or name in ("close", "wait"):
            continue
        if callable(one):
            yield name, one
        else:
            yield from ((f"{name}.{verb}", method) for verb, method in verbs(one))


def filled(method: Any, folder: Path) -> dict[str, Any]:
    """Something for each of its parameters, so that nothing it can send is left out."""
    known: dict[str, Any] = {
        "to": folder / "file",
        "data": b"x",
        "metadata": {"a": 1},
        "updates": {"FLEET_LM": "m"},
        "since": 0,
        "docs": ["x"],
        "context_paths": ["x"],
        **dict.fromkeys(("created_after", "created_before", "after", "before"), NOW),
    }
    return {name: known.get(name, "x") for name in inspect.signature(method).parameters}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """What the verbs ask for, route by route, and the fields each of them sends."""
    folder = tmp_path_factory.mktemp("asked")

    async def each(address: str) -> None:
        async with AsyncClient(address, "t") as client:
            for name, verb in verbs(client):
                told = verb(**filled(verb, folder))
                with pytest.raises(NotFound, match="none here"):
                    await (anext(told) if name.endswith(".events") else told)

    with Saying(404, {"code": "not_found", "message": "none here"}) as server:
        asyncio.run(each(server.address))
    found: dict[tuple[str, str], set[str]] = {}
    for one in server.asked:
        found.setdefault((one.verb, route_of(one.verb, one.path)), set()).update(one.fields)
    return found


def route_of(verb: str, path: str) -> str:
    """The route of a request, one without a name in it first."""
    matching = [
        route
        for route, method in OPERATIONS
        if method == verb and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)
    ]
    assert matching, f"there is no route for {verb} {path}"
    return min(matching, key=lambda route: route.count("{"))


def test_every_route_has_a_verb_or_a_reason_to_have_none(asked: dict[tuple[str, str], set[str]]) -> None:
    routes = {(verb, route) for route, verb in OPERATIONS}
    assert routes - set(asked) == set(NO_VERB)


def test_a_verb_sends_every_field_its_route_takes_and_no_other(asked: dict[tuple[str, str], set[str]]) -> None:
    for (verb, route), sent in asked.items():
        takes = fields(OPERATIONS[route, verb]) - NOT_SENT.get((verb, route), set())
        assert sent - {"since"} == takes - {"since"}, f"{verb} {route}"


def fields(operation: Operation) -> set[str]:
    """What a route takes besides its path."""
    return {name for model in (operation.body, operation.query) if model for name in model.model_fields}


def test_both_faces_have_the_same_verbs_with_the_same_arguments() -> None:
    blocking, coroutines = dict(verbs(Client("http://127.0.0.1:9"))), dict(verbs(AsyncClient("http://127.0.0.1:9")))
    assert set(blocking) == set(coroutines)
    for name, verb in blocking.items():
        assert inspect.signature(verb).parameters == inspect.signature(coroutines[name]).parameters, name
    assert inspect.signature(Client).parameters == inspect.signature(AsyncClient).parameters
    assert issubclass(Client, _Blocking)
