"""The quickstart as a newcomer meets it: run its question, look at the cell, save, come back later."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import ROOT, Lab
from tests.browser.page import Notebook

ASK = 5
"""Place of the `%%fleet` cell in the quickstart."""

CONTRAST = """selector => [...document.querySelectorAll(selector)].map(element => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const paint = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); };
    const pixel = () => [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    const backgrounds = [];
    for (let at = element; at; at = at.parentElement) backgrounds.unshift(getComputedStyle(at).backgroundColor);
    backgrounds.forEach(paint);
    const below = pixel();
    paint(getComputedStyle(element).color);
    const light = rgb => rgb.map(value => value / 255)
        .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const [more, less] = [light(pixel()), light(below)].sort((a, b) => b - a);
    return (more + 0.05) / (less + 0.05);
})"""
"""The contrast of text to what is painted below it, as WCAG counts it, for every element of a selector."""

READ = (".flt-title", ".flt-status", ".flt-offline", ".flt-chip", ".flt-gist", ".flt-dim", ".flt-answer", ".flt-code")


@pytest.fixture
def asked(lab: Lab, open_notebook: Callable[[str], Notebook], tmp_path: Path) -> Notebook:
    """The quickstart, run up to its question."""
    name = f"{tmp_path.name}.ipynb"
    shutil.copyfile(ROOT / "notebooks" / "01-quickstart.ipynb", lab.folder / name)
    notebook = open_notebook(name)
    notebook.run(1, 3, ASK)
    return notebook


def test_the_question_is_answered_in_the_cell_and_looks_right_by_day_and_night(asked: Notebook) -> None:
    expect(asked.status(ASK)).to_have_text("Done")
    expect(asked.widget(ASK)).to_contain_text("state the Python version")
    expect(asked.widget(ASK)).to_contain_text("rule-based stand-in, not a model")
    asked.widget(ASK).get_by_role("tree").press("Home")
    for kind in ("turn", "rlm", "llm", "code"):
        expect(asked.spans(ASK, kind).first).to_be_visible()
    asked.spans(ASK, "code").first.click()
    expect(asked.widget(ASK).get_by_role("region")).to_contain_text("import")
    expect(asked.widget(ASK).get_by_role("region")).to_contain_text("documents")
    expect(asked.static(ASK)).to_contain_text("rule-based stand-in, not a language model")
    expect(asked.static(ASK)).to_contain_text("state the Python version")
    expect(asked.static(ASK)).to_be_hidden()  # the live view has said it
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        asked.theme(theme)
        contrast = {part: asked.page.evaluate(CONTRAST, f".flt-root {part}") for part in READ}
        assert all(contrast.values()), contrast
        assert not {part: min(found) for part, found in contrast.items() if min(found) < 4.5}, theme


def test_a_saved_notebook_still_answers_without_its_kernel_and_as_a_web_page(
    asked: Notebook, browser: Browser, tmp_path: Path
) -> None:
    asked.save()
    asked.end_kernel()
    asked.reload()
    expect(asked.static(ASK)).to_be_visible()
    expect(asked.static(ASK)).to_contain_text("state the Python version")
    expect(asked.cell(ASK)).not_to_contain_text("Error displaying widget")
    html, _ = HTMLExporter().from_filename(str(asked.lab.folder / asked.name))
    page = tmp_path / "page.html"
    page.write_text(html, "utf-8")
    shown: Page = browser.new_page()
    shown.goto(page.as_uri())
    static = shown.locator(".flt-static").first
    expect(static).to_contain_text("state the Python version")
    static.locator("summary").first.click()
    expect(static.locator("details details").first).to_be_visible()
    shown.close()
