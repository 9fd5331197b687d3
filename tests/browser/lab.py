"""A real JupyterLab server with folders of its own: notebooks, settings, runtime files and fleet's home."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import nbformat

from fleet_rlm.core.redaction import SECRET_NAME
from tests.stopping import stop

ROOT = Path(__file__).parents[2]

SECONDS = 60
"""How long the server may take to start or to end on a busy machine."""

NO_QUESTIONS = {"fetchNews": "false", "checkForUpdates": False}
"""Settings without which a fresh JupyterLab puts questions in front of the notebook."""

FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "FLEET_HOME": "fleet",
}


@dataclass(frozen=True)
class Lab:
    """A running server.

    Attributes:
        url: its address, without a slash at the end.
        folder: where its notebooks are.
    """

    url: str
    folder: Path

    def write(self, name: str, sources: Sequence[str]) -> str:
        """Put a notebook with these code cells into the folder; returns its name."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), self.folder / name)
        return name


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Lab]:
    """Serve an empty folder below `home`, without any model or key that this machine's user has set."""
    notebooks = home / "notebooks"
    notebooks.mkdir()
    asked = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    asked.parent.mkdir(parents=True)
    asked.write_text(json.dumps(NO_QUESTIONS))
    foreign = [name for name in os.environ if name.startswith(("FLEET_", "DSPY_")) or SECRET_NAME.search(name)]
    environ = {name: value for name, value in os.environ.items() if name not in foreign}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"),
        *("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={notebooks}"),
    ]
    server = subprocess.Popen(
        command,
        env={**environ, "PYTHONPATH": str(ROOT), **{name: str(home / part) for name, part in FOLDERS.items()}},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    address: Future[str] = Future()
    assert server.stderr is not None
    threading.Thread(target=_listen, args=(server.stderr, address), name="lab-log", daemon=True).start()
    try:
        yield Lab(address.result(SECONDS), notebooks)
    finally:
        stop(server, SECONDS)
        server.stderr.close()


def _listen(log: IO[str], address: Future[str]) -> None:
    """Read the log to its end, for a full pipe would halt the server; the address is in it."""
    lines = []
    for line in log:
        lines.append(line)
        if not address.done() and (found := re.search(r"http://127\.0\.0\.1:\d+", line)):
            address.set_result(found[0])
    if not address.done():
        address.set_exception(AssertionError(f"JupyterLab did not start:\n{''.join(lines)}"))
