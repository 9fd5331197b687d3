"""An IPython shell as a terminal has it, with the extension loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from fleet_rlm.notebook.runs import RUNS


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "home"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    monkeypatch.setattr(RUNS, "_runs", {})
    shell.run_line_magic("load_ext", "fleet_rlm")
    yield shell
    InteractiveShell.clear_instance()
