"""Rates: how often one user may ask, by what is asked; a bucket that refills, for each user and class of route.

The classes are what routes ask permission for (read, write, execute) and `lm`, the calls of kernels to models. A bucket
holds a minute's worth, so a burst is let through and a steady stream is held to its rate. Counted by one server alone.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.services.errors import ServiceError
from fleet_rlm.server.services.owner import Owner

CLASSES = ("read", "write", "execute", "lm")
BUCKETS = 20_000
"""Beyond these the ones not used for longest are forgotten; they are full again by then."""

MINUTE_S = 60.0


class TooFast(ServiceError):
    """More often than the server lets one user ask.

    Attributes:
        retry_after: seconds until the next request is let through.
    """

    status, code = 429, "rate_limited"

    def __init__(self, kind: str, per_minute: float, retry_after: int) -> None:
        super().__init__(
            f"this server lets one user make {per_minute:g} requests of the kind {kind!r} a minute; "
            f"wait {retry_after} s"
        )
        self.retry_after = retry_after


@dataclass
class _Bucket:
    left: float
    at: float


class Rates:
    """The buckets of all users.

    Args:
        per_minute: requests a minute by class; a class without a figure is not limited.

    Raises:
        UserError: there is no such class, or a figure is not above 0.
    """

    def __init__(self, per_minute: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        for kind, figure in per_minute.items():
            if kind not in CLASSES:
                raise UserError(f"FleetApp.rates has no class {kind!r}; there are {', '.join(CLASSES)}")
            if isinstance(figure, bool) or not isinstance(figure, int | float) or not 0 < figure < math.inf:
                raise UserError(f"FleetApp.rates[{kind!r}] must be a number of requests a minute, not {figure!r}")
        self._per_minute = dict(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[tuple[Owner, str], _Bucket] = OrderedDict()

    def take(self, owner: Owner, kind: str) -> None:
        """Let one request through.

        Raises:
            TooFast: the user's bucket is empty.
        """
        limit = self._per_minute.get(kind)
        if limit is None:
            return
        now, most = self._clock(), max(1.0, limit)
        bucket = self._buckets.setdefault((owner, kind), _Bucket(most, now))
        self._buckets.move_to_end((owner, kind))
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        bucket.left = min(most, bucket.left + (now - bucket.at) * limit / MINUTE_S)
        bucket.at = now
        if bucket.left < 1:
            raise TooFast(kind, limit, math.ceil((1 - bucket.left) * MINUTE_S / limit))
        bucket.left -= 1
