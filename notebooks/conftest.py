"""The notebooks are executed as a newcomer has them: no model or key is set, and fleet's home is a new folder."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from fleet_rlm.core.redaction import SECRET_NAME


def pytest_sessionstart(session: pytest.Session) -> None:
    for name in list(os.environ):  # kernels inherit it, and nbval's cells take no fixtures
        if name.startswith(("FLEET_", "DSPY_")) or SECRET_NAME.search(name):
            del os.environ[name]
    os.environ["FLEET_HOME"] = tempfile.mkdtemp(prefix="fleet-notebooks-")


def pytest_sessionfinish(session: pytest.Session) -> None:
    shutil.rmtree(os.environ["FLEET_HOME"])
