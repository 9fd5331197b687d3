"""Metrics survive a reload, and are named as promised."""

from __future__ import annotations

import importlib

from prometheus_client import REGISTRY

from fleet_rlm.server import metrics


def test_a_reload_gives_the_same_metrics_again() -> None:
    before = metrics.RUNS_STARTED
    assert importlib.reload(metrics).RUNS_STARTED is before


def test_every_metric_is_ours_by_name_and_labels_name_nobody() -> None:
    ours = [one for one in REGISTRY.collect() if one.name.startswith("fleet_rlm_")]
    assert len(ours) == len(metrics._made)
    labels = {label for one in ours for sample in one.samples for label in sample.labels}
    assert labels <= {"status", "outcome", "socket", "code", "le"}
