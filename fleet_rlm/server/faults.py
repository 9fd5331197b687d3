"""What is wrong with what was sent, as a sentence for whoever sent it: the place, and what belongs there.

Pydantic's own words speak of inputs, tags and patterns; where they would send somebody to its manual, ours are said.
Nothing that was sent is repeated, but for the names of fields.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MOST = 20
"""Faults told of one request."""

NAME_CHARS = 80


def faults(error: ValidationError) -> str:
    """What is wrong with a body, a query or a message, by place."""
    found = error.errors(include_url=False, include_input=False)
    rest = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join([*(_told(one) for one in found[:MOST]), *rest])


def _told(fault: ErrorDetails) -> str:
    where = ".".join(str(part)[:NAME_CHARS] for part in fault["loc"])
    context: dict[str, Any] = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is not known here, leave it out"
        case "string_pattern_mismatch":
            if context["pattern"].startswith("^[^"):  # what cannot be in it
                return f"{where} has a character that cannot be in it, such as a line end or NUL"
            return f"{where} is no id or name: they are made of letters, digits and marks such as . _ and -"
        case "json_invalid":
            return f"this is no JSON: {context['error']}"
        case "union_tag_not_found":
            return f"{context['discriminator']} is missing"
        case "union_tag_invalid":
            return f"{context['discriminator']} must be one of {context['expected_tags']}"
        case "value_error":
            return f"{where}: {context['error']}" if where else str(context["error"])
    return f"{where or 'body'}: {fault['msg']}"
