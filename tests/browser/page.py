"""A notebook open in a browser, driven and read as its reader would: run a cell, look at what is below it."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.browser.lab import Lab

SECONDS = 45
"""How long any one thing may take to happen on a busy machine."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

BEGIN = """index => {
    const { content } = window.jupyterapp.shell.currentWidget;
    content.activeCellIndex = index;
    content.deselectAll();
    window.ranCell = window.jupyterapp.commands.execute("notebook:run-cell");
}"""
END = """milliseconds => Promise.race([
    window.ranCell,
    new Promise((_, refuse) => setTimeout(refuse, milliseconds, new Error("the cell did not end in time"))),
])"""
READY = """async () => {
    await window.jupyterapp.restored;
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium, headless."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found is not None, "the browser tests need Chromium; on Debian: apt-get install chromium"
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


class Notebook:
    """A notebook of the server, open in the page with its kernel ready."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page, self.lab, self.name = page, lab, name
        page.set_default_timeout(SECONDS * 1000)
        page.on("dialog", lambda dialog: dialog.accept())  # "leave site?", when it is reloaded in mid-run
        self._open("?reset")

    def _open(self, query: str = "") -> None:
        self.page.goto(f"{self.lab.url}/lab/tree/{self.name}{query}")
        self.page.wait_for_selector(".jp-NotebookPanel:visible .jp-CodeCell")
        self.page.evaluate(READY)

    def reload(self) -> None:
        """Load the page again, as it was last saved; the kernel goes on."""
        self._open()

    def cell(self, index: int) -> Locator:
        """The cell, by its place among all cells."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").nth(index)

    def widget(self, index: int) -> Locator:
        """The live view below a cell."""
        return self.cell(index).locator(".flt-root")

    def static(self, index: int) -> Locator:
        """What stays below a cell without a kernel."""
        return self.cell(index).locator(".flt-static")

    def failure(self, index: int) -> Locator:
        """The red text of a cell that failed; JupyterLab gives errors the type of stderr."""
        return self.cell(index).locator("[data-mime-type='application/vnd.jupyter.stderr']")

    def status(self, index: int) -> Locator:
        """The word in the live view that says how the run stands."""
        return self.widget(index).get_by_role("status")

    def spans(self, index: int, kind: str = "") -> Locator:
        """The rows of the recursion tree that are in sight, all or of one kind."""
        return self.widget(index).get_by_role("treeitem", name=re.compile(f"^{kind}"))

    def begin(self, index: int) -> None:
        """Start a cell and return."""
        self.page.evaluate(BEGIN, index)

    def end(self) -> None:
        """Wait until the cell begun last has ended."""
        self.page.evaluate(END, SECONDS * 1000)

    def run(self, *indexes: int) -> None:
        """Run cells one after another."""
        for index in indexes:
            self.begin(index)
            self.end()

    def text(self, index: int) -> str:
        """All that is below a cell, as text."""
        return "\n".join(self.cell(index).locator(".jp-OutputArea-output").all_inner_texts())

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def end_kernel(self) -> None:
        """Shut the kernel down, as happens when the server ends."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def theme(self, name: str) -> None:
        """Change the theme, e.g. "JupyterLab Dark"."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)
