"""PDF: both readers give the same pages; without the better one there is still the other."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fleet_rlm.agent.documents.parser import pdf
from fleet_rlm.agent.documents.parser.contract import CannotRead
from tests.agent.documents.samples import locked_pdf
from tests.agent.documents.samples import pdf as made


def text_of(data: bytes) -> tuple[str, dict[str, Any]]:
    out: list[str] = []
    metadata = pdf.parse(io.BytesIO(data), out.append)
    return "".join(out), metadata


@pytest.fixture(params=[True, False], ids=["kreuzberg", "pypdf"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pdf, "unpacked", lambda: request.param)
    return "kreuzberg" if request.param else "pypdf"


def test_each_page_stands_under_its_number(reader: str) -> None:
    text, metadata = text_of(made(["first", "", "third"]))
    assert text == "[page 1]\nfirst\n\n[page 2]\n\n\n[page 3]\nthird\n\n"
    assert metadata == {"pages": 3, "reader": reader}


def test_a_password_is_told_by_both(reader: str) -> None:
    with pytest.raises(CannotRead, match="protected by a password"):
        text_of(locked_pdf(["x"]))


def test_pages_without_text_are_told_by_both(reader: str) -> None:
    with pytest.raises(CannotRead, match="has 1 page and no text in them: it was scanned"):
        text_of(made([""]))
