"""The server face from outside: `Client` for scripts, `AsyncClient` for programs with a loop of their own.

Speaks HTTP and WebSockets to a Jupyter server with the fleet-rlm extension and knows core only: neither the server nor
dspy is imported, so this works wherever httpx and websockets do.

    with Client("http://127.0.0.1:8000", token="...") as fleet:
        run = fleet.runs.start("Which deploy broke checkout?", session="incident")
        for event in fleet.runs.events(run.run):
            print(event)
        print(fleet.runs.wait(run.run).answer)
"""

from fleet_rlm.client.asynchronous import AsyncClient
from fleet_rlm.client.errors import (
    BadAddress,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    NotFound,
    NotReached,
    NotSignedIn,
    NotTrusted,
    Refused,
    TooLarge,
    TooMany,
    Unavailable,
)
from fleet_rlm.client.synchronous import Client

__all__ = [
    "AsyncClient",
    "BadAddress",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "NotFound",
    "NotReached",
    "NotSignedIn",
    "NotTrusted",
    "Refused",
    "TooLarge",
    "TooMany",
    "Unavailable",
]
