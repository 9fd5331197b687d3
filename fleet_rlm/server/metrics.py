"""What the server counts, in Prometheus' default registry, which the Jupyter server shows at `/metrics`.

No label names a run, a session, a user or a tenant: the values of each are few and fixed. Importing this twice, as a
reload does, gives the same metrics again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

M = TypeVar("M")

LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)

_made: dict[str, object] = vars(REGISTRY).setdefault("_fleet_rlm", {})


def _once(name: str, make: Callable[[], M]) -> M:
    if name not in _made:
        _made[name] = make()
    return _made[name]  # type: ignore[return-value]


def _counter(name: str, says: str, *labels: str) -> Counter:
    return _once(name, lambda: Counter(name, says, labels))


def _gauge(name: str, says: str, *labels: str) -> Gauge:
    return _once(name, lambda: Gauge(name, says, labels))


RUNS_STARTED = _counter("fleet_rlm_runs_started", "Runs that kernels began or went on with")
RUNS_ENDED = _counter("fleet_rlm_runs_ended", "Runs that are over, by how they ended", "status")
RUNS_ACTIVE = _gauge("fleet_rlm_runs_active", "Runs that go on")
KERNELS = _gauge("fleet_rlm_kernels", "Kernels that the server started for sessions")
LM_CALLS = _counter("fleet_rlm_lm_calls", "Model calls through the gateway, by what became of them", "outcome")
LM_TOKENS = _counter("fleet_rlm_lm_tokens", "Tokens of model calls through the gateway, as providers reported them")
SOCKETS = _gauge("fleet_rlm_ws_connections", "Open WebSockets", "socket")
REFUSALS = _counter("fleet_rlm_refusals", "Requests that were not carried out, by the code they were told", "code")
AUDIT_FAILURES = _counter("fleet_rlm_audit_failures", "Entries of the audit that could not be stored; the log has them")
RELAY_LAG = _once(
    "fleet_rlm_event_relay_lag_seconds",
    lambda: Histogram(
        "fleet_rlm_event_relay_lag_seconds",
        "From when a kernel wrote an event to when the server has it, by the latest of each batch",
        buckets=LAG_S,
    ),
)
