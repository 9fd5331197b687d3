"""The description of the API is that of its routes, and the server holds what it says under any input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from fleet_rlm.server.auth import check_routes, pages
from fleet_rlm.server.auth.selfcheck import is_open
from fleet_rlm.server.openapi import document, path_of
from fleet_rlm.server.operations import OPERATIONS
from fleet_rlm.server.routes import PUBLIC, ROUTES, WITH_ENTRA
from tests.server.serving import ROOT, TOKEN, Serving

EXAMPLES = 12
SLOW = ("/export", "/tests/sandbox", "/memory")
"""Each of these is a process, or a kernel's work."""

AUTHORIZED = {"Authorization": f"token {TOKEN}"}


def test_the_committed_document_is_that_of_the_routes() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert committed == document(), "renew it: fleet openapi > docs/openapi.json"


def test_every_verb_of_every_route_is_described_and_nothing_else() -> None:
    routes = {(path_of(pattern), verb) for pattern, verb in check_routes([*ROUTES, *WITH_ENTRA], PUBLIC)}
    assert routes == set(OPERATIONS)
    described = {(path, verb.upper()) for path, verbs in document()["paths"].items() for verb in verbs}
    assert described == routes


def test_routes_that_come_with_entra_are_described_with_that_note_and_no_others() -> None:
    """Of its pages, those that a program asks; the others are a browser's way in and out, and open to anybody."""
    served = [(pattern, handler) for pattern, handler in pages.ROUTES if not is_open(handler)]
    assert served == WITH_ENTRA
    told = [operation for verbs in document()["paths"].values() for operation in verbs.values()]
    noted = [one["operationId"] for one in told if one.get("x-only-where") == "AUTH_MODE=entra"]
    assert noted == ["auth_TicketRoute_post"]


def test_names_of_operations_are_unique_and_every_reference_leads_somewhere() -> None:
    told = document()
    names = [operation["operationId"] for verbs in told["paths"].values() for operation in verbs.values()]
    assert len(names) == len(set(names))
    references = {part.partition('"')[0] for part in json.dumps(told).split('"#/components/schemas/')[1:]}
    assert references <= set(told["components"]["schemas"])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, dict[str, str]]]:
    """A server of its own, which starts one kernel at most, and the ids of things it has."""
    directory = tmp_path_factory.mktemp("fuzzed")
    with Serving(directory, {"FleetApp.max_kernels": "1"}, FLEET_LM="fleet/offline") as server:
        run = server.post("runs", message="long " * 10_000, session="fuzzed", mode="direct")["run"]
        server.finished(run)
        yield (
            server,
            {
                "run": run,
                "session": "fuzzed",
                "artifact": server.get("artifacts")["items"][0]["id"],
                "volume": server.get("sessions/fuzzed")["id"],
            },
        )


def _operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(document())
    found = [one.ok() for one in schema.get_all_operations()]
    return [one for one in found if "/ws/" not in one.path]


@pytest.mark.parametrize("operation", _operations(), ids=lambda one: one.label)
def test_no_input_makes_the_server_fail_or_answer_otherwise_than_described(
    fuzzed: tuple[Serving, dict[str, str]], operation: Any
) -> None:
    server, known = fuzzed

    @settings(
        max_examples=3 if operation.path.endswith(SLOW) else EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def holds(case: Any) -> None:
        for real in (False, True):  # what is there is asked for as well as what is not
            if real and not (case.path_parameters or "volume" in (case.query or {})):
                return
            if real:
                case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
                case.query = {name: known["volume"] if name == "volume" else one for name, one in case.query.items()}
            response = case.call(base_url=server.origin, headers=AUTHORIZED, timeout=60)
            checks = [not_a_server_error, status_code_conformance]
            if response.headers.get("content-type", [""])[0].startswith("application/json"):  # names are lower case
                checks.append(response_schema_conformance)
            case.validate_response(response, checks=checks)

    holds()


def test_the_server_tells_the_document_to_whoever_is_signed_in(fuzzed: tuple[Serving, dict[str, str]]) -> None:
    server, _ = fuzzed
    assert server.client.get(f"{server.origin}/fleet/openapi.json").json() == document()
    assert httpx.get(f"{server.origin}/fleet/openapi.json", trust_env=False).status_code == 401
