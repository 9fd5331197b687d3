"""Every table of the store, as frozen shape and as the record that its verbs return.

A record is a plain dataclass once it leaves the store: changing it changes nothing there.
"""

from fleet_rlm.sessions.store.tables.base import Base, Owned, Tenanted
from fleet_rlm.sessions.store.tables.conversation import Memory, Session, Turn
from fleet_rlm.sessions.store.tables.house import Audit, Quota, Reservation, Setting, Tenant, User
from fleet_rlm.sessions.store.tables.learning import Dataset, Example, Feedback
from fleet_rlm.sessions.store.tables.record import Artifact, Event, Run, Span

__all__ = [
    "Artifact",
    "Audit",
    "Base",
    "Dataset",
    "Event",
    "Example",
    "Feedback",
    "Memory",
    "Owned",
    "Quota",
    "Reservation",
    "Run",
    "Session",
    "Setting",
    "Span",
    "Tenant",
    "Tenanted",
    "Turn",
    "User",
]
