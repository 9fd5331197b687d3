"""A real JupyterLab in a real Chromium, and a notebook in it that a test drives as its reader would.

The server has folders of its own for notebooks, settings, runtime files and fleet's home, and an ephemeral port. Every
wait is for something that happens on the page, in the kernel or at the model's end; nothing is slept for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]

SECONDS = 45
"""How long any one thing may take to happen on a busy machine."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
QUIET = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
"""Settings without which a fresh JupyterLab asks questions in front of the notebook."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab server.

    Attributes:
        url: its address, without a slash at the end.
        folder: the folder of its notebooks.
    """

    url: str
    folder: Path

    def write(self, name: str, sources: Sequence[str]) -> None:
        """Put a notebook with these code cells into the folder."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), self.folder / name)


@contextlib.contextmanager
def serving(home: Path, environ: Mapping[str, str]) -> Iterator[Lab]:
    """Serve a new folder below `home`.

    Args:
        environ: the environment of the server and its kernels.
    """
    folder = home / "notebooks"
    folder.mkdir()
    for name, settings in QUIET.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "FLEET_HOME": "fleet",
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"),
        *("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"),
    ]
    server = subprocess.Popen(
        command,
        env={**environ, "PYTHONPATH": str(ROOT), **{name: str(home / part) for name, part in own.items()}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(home / "server.log").open("wb"),
        start_new_session=True,
    )
    try:
        yield Lab(_address(server, home / "server.log"), folder)
    finally:
        server.terminate()
        server.wait(SECONDS)
