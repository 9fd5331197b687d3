"""Telling: connects the services with what the Jupyter server has around them: its events and its identity provider.

Events go where the server's administrator sends them, and to `/api/events/subscribe`, which the server opens to those
who have its own resources: that is why they name no user and hold no content.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fleet_rlm.server.auth.deployment import Entra
from fleet_rlm.server.services.admitting import admitting

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from fleet_rlm.server.services.house import House

SCHEMAS = Path(__file__).parent / "event_schemas"


def tell_outside(serverapp: ServerApp, house: House) -> None:
    """Register our events and have them told; note sign-ins in the audit, and ask the store who is admitted."""
    logger = serverapp.event_logger
    assert logger is not None
    ids = {file.parent.name: register(logger, file) for file in sorted(SCHEMAS.glob("*/v1.yaml"))}

    def tell(name: str, facts: dict[str, Any]) -> None:
        logger.emit(schema_id=ids[name], data=facts)

    house.door.tell = tell
    provider: Any = serverapp.identity_provider
    entra = getattr(provider, "entra", None)
    if isinstance(entra, Entra):
        provider.audit = house.audit.sign_in
        provider.admission = admitting(lambda: house.store, is_listed=entra.tenants is not None)


def register(logger: Any, file: Path) -> str:
    """The id of an event's schema, which the logger knows from now on; doing it twice is harmless."""
    identity: str = yaml.safe_load(file.read_text())["$id"]
    if identity not in logger.schemas:
        logger.register_event_schema(file)
    return identity
