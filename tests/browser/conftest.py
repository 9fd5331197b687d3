"""One server and one browser for the folder; a page of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.lab import Lab, serving
from tests.browser.page import Notebook, chromium


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serving(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_notebook(lab: Lab, browser: Browser) -> Iterator[Callable[[str], Notebook]]:
    """Opens a notebook of the server; an error of a script on its page fails the test."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield lambda name: Notebook(page, lab, name)
    page.close()
    assert errors == []
