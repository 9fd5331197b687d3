"""Secrets made to be looked for: known ones, and ones that only their shape gives away."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

ENVIRONMENT = "canary/environment+0123456789"
"""The value of a secret-named environment variable; nothing in it has a shape."""

KEY = "canary-of-the-models-key-0123456789"
"""Given to the model's client."""

DATABASE = "canary:dat@base-0123"
DATABASE_URL = f"postgresql://me:{urllib.parse.quote(DATABASE, safe='')}@db.example.com/main"

TOKEN = "ghp_" + "CanaryWithAShape" + "0123456789" + "abcdefghij"
"""Known to nobody."""

PASSWORD = "canary-of-a-password-0123"
"""Known to nobody; always written `password=...`."""

ENVIRON = {"SERVICE_TOKEN": ENVIRONMENT, "WAREHOUSE_URL": DATABASE_URL}

SECRETS = (ENVIRONMENT, KEY, DATABASE, TOKEN, PASSWORD)

LEAKED = " ".join(
    [
        *(ENVIRONMENT, KEY, DATABASE_URL, DATABASE, TOKEN, f"password={PASSWORD}"),
        *(base64.b64encode(secret.encode()).decode() for secret in (ENVIRONMENT, KEY, DATABASE)),
        base64.b64encode(f"user:{ENVIRONMENT}".encode()).decode(),
        urllib.parse.quote(ENVIRONMENT, safe=""),
        ENVIRONMENT.encode().hex(),
    ]
)
"""A text that gives all of them away."""


def forms(secret: str) -> Iterable[str]:
    """What must not be found: the secret itself, in a URL, in hex, and the middle of it in base64."""
    data = secret.encode()
    yield from (secret, urllib.parse.quote(secret, safe=""), data.hex())
    for lead in range(3):
        yield base64.b64encode(b"." * lead + data).decode()[4:-4]


def found(data: bytes | str) -> list[str]:
    """The canaries in what a sink got."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return [form for secret in SECRETS for form in forms(secret) if form in text]


def found_below(directory: Path) -> dict[str, list[str]]:
    """The canaries in the names and the contents of all files of a directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files, f"nothing was written to {directory}"
    seen = {str(path): found(path.read_bytes()) + found(path.name) for path in files}
    return {name: canaries for name, canaries in seen.items() if canaries}
