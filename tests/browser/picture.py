"""Takes the picture of the README: `python -m tests.browser.picture docs/images/cell.png`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab import ROOT, serving
from tests.browser.page import Notebook, chromium

ASK = 5
"""Place of the `%%fleet` cell in the quickstart."""


def take(target: Path) -> None:
    """Ask the quickstart's question in a real JupyterLab; the picture has the code open that asked sub-RLMs."""
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as lab, chromium() as browser:
        name = shutil.copy(ROOT / "notebooks" / "01-quickstart.ipynb", lab.folder)
        page = browser.new_page(viewport={"width": 1400, "height": 1270})
        notebook = Notebook(page, lab, Path(name).name)
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        notebook.run(1, 3, ASK)
        expect(notebook.status(ASK)).to_have_text("Done")
        notebook.widget(ASK).get_by_role("tree").press("Home")
        notebook.spans(ASK, "code sandbox-1.1,").nth(1).click()
        notebook.cell(ASK).evaluate("cell => { document.activeElement.blur(); cell.scrollIntoView(); }")
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
