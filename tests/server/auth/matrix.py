"""The attack matrix: every attempt and what the server must answer.

    python -m tests.server.auth.matrix > docs/auth-matrix.md

`test_matrix` makes each attempt against a real server, and compares the page.
"""

from __future__ import annotations

from tests.server.auth.issuer_rows import ISSUER
from tests.server.auth.request_rows import BROWSERS, CREDENTIALS, ROLES
from tests.server.auth.row import Row
from tests.server.auth.socket_rows import SOCKETS
from tests.server.auth.token_rows import CALLERS, FORMS, ISSUERS, SIGNATURES, TIMES

TABLES: dict[str, list[Row]] = {
    "Signature and header": SIGNATURES,
    "Issuer and tenant": ISSUERS,
    "Audience and time": TIMES,
    "Who calls": CALLERS,
    "Form": FORMS,
    "Where credentials are looked for": CREDENTIALS,
    "Roles": ROLES,
    "Browsers": BROWSERS,
    "WebSockets": SOCKETS,
}

HEAD = """\
# The attack matrix

Written by `python -m tests.server.auth.matrix`. Each line is an attempt that `tests/server/auth/test_matrix.py` makes
against a real Jupyter server with `AUTH_MODE=entra` and a small extension of protected routes, whose tokens come from a
loopback issuer with real RSA keys (`tests/twins/entra_issuer.py`). The answer is the HTTP status and the code in the
body; `open` is a WebSocket that opened. After all of them, the server's log at level DEBUG holds none of the tokens,
tickets, sign-in codes and cookies that were used.

The server admits one tenant, no guests and no programs without a user. What the switches for these do is tested in
`tests/server/auth/test_verifier.py`.
"""


def page() -> str:
    """docs/auth-matrix.md."""
    parts = [HEAD]
    for title, table in {**TABLES, "The issuer (each with a fresh server)": ISSUER}.items():
        lines = [f"| {row.what} | {row.must} |" for row in table]
        parts.append("\n".join([f"## {title}\n", "| attempt | answer |", "|---|---|", *lines, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
