"""Metrics survive a reload, and are named as promised."""

from __future__ import annotations

import importlib
from pathlib import Path

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


def test_the_page_for_administrators_names_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    names = {sample.name for one in REGISTRY.collect() if one.name in metrics._made for sample in one.samples}
    shown = {name for name in names if not name.endswith(("_created", "_bucket", "_sum", "_count"))}
    assert not [name for name in {*shown, metrics.RELAY_LAG._name} if f"`{name}`" not in page]
