"""The API as an OpenAPI 3.1 document: paths and permissions from the routes, shapes from models, words from docstrings.

`python -m fleet_rlm.server openapi` prints it; `docs/openapi.json` is that, and a test compares them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fleet_rlm import __version__
from fleet_rlm.server.auth.authorizer import permission_of
from fleet_rlm.server.auth.selfcheck import check_routes
from fleet_rlm.server.operations import JSON, OCTETS, OPERATIONS, Operation
from fleet_rlm.server.routes import PUBLIC, ROUTES, WITH_ENTRA
from fleet_rlm.server.services.execution import messages

_GROUP = re.compile(r"\(\?P<(?P<name>\w+)>(?P<pattern>[^)]*)\)")
_REF = "#/components/schemas/{model}"

Wanted = tuple[type[BaseModel], Literal["validation", "serialization"]]

ABOUT = """\
Runs, sessions and files of fleet-rlm on a Jupyter server. Who is asking is found out by the server's identity provider;
every path is below the server's base URL. Lists come as {items, total, offset, limit, has_more}. What belongs to
somebody else does not exist. Errors are {code, message}: the code is for programs, the message says what to do."""

ONLY_ENTRA = {
    "description": "Only where Microsoft Entra signs people in (AUTH_MODE=entra); elsewhere there is no such address.",
    "x-only-where": "AUTH_MODE=entra",
    "security": [{"bearer": []}],
}


def document(base_url: str = "/") -> dict[str, Any]:
    """The whole document, for a server with this base URL."""
    return {**_document(), "servers": [{"url": base_url.rstrip("/") or "/"}]}


@functools.cache
def _document() -> dict[str, Any]:
    schemas, refs = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    handlers = dict([*ROUTES, *WITH_ENTRA])
    for pattern, verb in check_routes(handlers.items(), PUBLIC):
        path = path_of(pattern)
        told = _operation(pattern, verb, handlers[pattern], OPERATIONS[path, verb], refs)
        if pattern in dict(WITH_ENTRA):
            told |= ONLY_ENTRA
        paths.setdefault(path, {})[verb.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "fleet-rlm", "version": __version__, "description": ABOUT},
        "security": [{"bearer": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, where Entra signs in."},
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": '"token " and the server\'s own token.',
                },
                "kernel": {"type": "http", "scheme": "bearer", "description": "The token of a kernel that runs."},
            },
        },
    }


def path_of(pattern: str) -> str:
    """A route's pattern as a path with its parameters in braces."""
    return _GROUP.sub(lambda group: f"{{{group['name']}}}", pattern)


def _schemas() -> tuple[dict[str, Any], Mapping[type[BaseModel], dict[str, Any]]]:
    """All models by name, and how each is referred to."""
    taken: list[type[BaseModel]] = [one.body for one in OPERATIONS.values() if one.body is not None]
    told: list[type[BaseModel]] = [one.answer for one in OPERATIONS.values() if one.answer is not None]
    told += [one.error for one in OPERATIONS.values()]
    said: list[type[BaseModel]] = [messages.Message, messages.Cancel, messages.Command, messages.Approve]
    inputs: list[Wanted] = [(model, "validation") for model in dict.fromkeys([*taken, *said])]
    outputs: list[Wanted] = [(model, "serialization") for model in dict.fromkeys(told)]
    refs, schemas = models_json_schema([*inputs, *outputs], ref_template=_REF)
    return dict(sorted(schemas["$defs"].items())), {model: ref for (model, _), ref in refs.items()}  # type: ignore[misc]


def _operation(
    pattern: str, verb: str, handler: type[Any], operation: Operation, refs: Mapping[type[BaseModel], Any]
) -> dict[str, Any]:
    method = getattr(handler, verb.lower())
    tag = handler.__module__.split(".")[-2]
    told: dict[str, Any] = {
        "tags": [tag],
        "operationId": f"{tag}_{handler.__name__}_{verb.lower()}",
        "summary": _sentence(method) if not operation.socket else _sentence(handler),
        "parameters": [*_in_path(pattern), *_in_query(operation.query)],
        "responses": _responses(operation, refs),
    }
    permission = permission_of(method)
    if permission is not None:
        told["x-permission"] = f"{permission.action} {permission.resource}"
    else:
        told["security"] = [{"kernel": []}] if tag == "lm" else []
    if operation.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[operation.body]}}}
    elif operation.uploads:
        told["requestBody"] = {
            "required": True,
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        }
    elif tag == "lm" and verb == "POST":
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": {"type": "object"}}}}
    if operation.socket and operation.query is None:
        said = (messages.Message, messages.Cancel, messages.Command, messages.Approve)
        told["x-messages"] = {"oneOf": [refs[model] for model in said]}
    return told


def _responses(operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content[JSON] = {"schema": refs[operation.answer]}
    elif operation.status not in (101, 204) and not operation.media:
        content[JSON] = {"schema": {"type": "object"}}
    content |= {media: {"schema": {"type": "string"}} for media in operation.media}
    good = {"description": "As asked.", **({"content": content} if content else {})}
    bad = {"description": "Why it was not done.", "content": {JSON: {"schema": refs[operation.error]}}}
    if operation.socket:
        good["description"] = "The connection is a WebSocket from here on."
    return {
        str(operation.status): good,
        **{str(status): good for status in operation.also},
        "4XX": bad,
        **({} if 503 in operation.also else {"503": bad}),
    }


def _in_path(pattern: str) -> list[dict[str, Any]]:
    return [
        {
            "name": group["name"],
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{group['pattern']}$"},
        }
        for group in _GROUP.finditer(pattern)
    ]


def _in_query(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(one)}
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An argument that is not given is null; there is no way to write null in an address."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**choices[0], **rest} if len(choices) == 1 else {**rest, "anyOf": choices}


def _sentence(documented: Any) -> str:
    return " ".join((documented.__doc__ or "").partition("\n\n")[0].split())
