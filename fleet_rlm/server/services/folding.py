"""Folding: of many entries alike the first few are noted one by one, the others as one with their number.

Whoever is refused can ask again as often as they like, and each refusal is worth noting; so this is what keeps them
from filling the audit. Alike are entries of one actor with the same action, outcome and code; of strangers, from the
same address. When a window has passed, what was folded is noted, and the next ones are first again.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fleet_rlm.server.services.owner import Owner

FEW = 5
KINDS = 200
"""Of entries of one tenant in a window; what is beyond them is folded into one for each action."""

WINDOW_S = 60.0
OTHERS = "others"

Detail = str | int | bool | None


@dataclass(frozen=True)
class Entry:
    """What is noted; `owner` is the actor."""

    owner: Owner
    action: str
    object: str | None
    outcome: str
    detail: dict[str, Detail]


Kind = tuple[Owner, str, str, Detail, Detail]


class Folding:
    """What was refused lately.

    Args:
        note: called with each entry that is to be noted.
    """

    def __init__(self, note: Callable[[Entry], object], window_s: float = WINDOW_S) -> None:
        self._note = note
        self._window_s = window_s
        self._kinds: dict[Kind, int] = {}
        self._first: dict[Kind, Entry] = {}
        self._of_tenant: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, entry: Entry) -> None:
        """Note it, or fold it into those like it."""
        kind: Kind = (entry.owner, entry.action, entry.outcome, entry.detail.get("code"), entry.detail.get("ip"))
        if kind not in self._kinds and self._of_tenant[entry.owner.tenant] >= KINDS:
            kind = (Owner(entry.owner.tenant, OTHERS), entry.action, entry.outcome, None, None)
            entry = dataclasses.replace(entry, owner=kind[0], detail={})
        if kind not in self._kinds:
            self._of_tenant[entry.owner.tenant] += 1
            self._first[kind] = entry
            self._kinds[kind] = 0
        self._kinds[kind] += 1
        if self._kinds[kind] <= FEW:
            self._note(entry)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window_s, self.flush)

    def flush(self) -> None:
        """Note what was folded, and begin anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kind, number in self._kinds.items():
            if number > FEW:
                first = self._first[kind]
                detail = {**first.detail, "times": number - FEW}
                self._note(dataclasses.replace(first, object=None, detail=detail))
        self._kinds.clear()
        self._first.clear()
        self._of_tenant.clear()
