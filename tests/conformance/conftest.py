"""One list of promises, kept by every backend; a promise is checked where the backend says it makes it.

A test that takes `make` runs on every backend, one that takes `local` on each tier of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleet_rlm.sandbox.local import LocalSandbox
from tests.conformance.backends import ALL, KNOWN, LOCAL, Local, Make


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    sandboxes: list[Any] = []
    yield sandboxes
    for sandbox in sandboxes:
        sandbox.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """A known shortcoming of a peer is expected to show: the suite fails when it does not any more."""
    for item in items:
        backend = item.callspec.params.get("make", "") if hasattr(item, "callspec") else ""
        if reason := KNOWN.get((backend, getattr(item, "originalname", item.name))):
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(params=ALL)
def make(request: pytest.FixtureRequest, opened: list[Any]) -> Make:
    """Creates sandboxes of any backend."""

    def create(**options: Any) -> Any:
        opened.append(ALL[request.param](**options))
        return opened[-1]

    return create


@pytest.fixture(params=LOCAL)
def local(request: pytest.FixtureRequest, opened: list[Any]) -> Local:
    """Creates sandboxes of our own tiers."""

    def create(**options: Any) -> LocalSandbox:
        opened.append(LOCAL[request.param](**options))
        made: LocalSandbox = opened[-1]
        return made

    return create
