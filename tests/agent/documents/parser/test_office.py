"""Office documents: without the library that reads them, the error names what to install."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

import pytest

from fleet_rlm.agent.documents.parser import office
from fleet_rlm.agent.documents.parser.contract import CannotRead
from tests.agent.documents.samples import docx


def test_without_the_extra_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    absent: Any = lambda name, *rest: None if name == "kreuzberg" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    with pytest.raises(CannotRead, match=r"pip install 'fleet-rlm\[docs\]'"):
        office.parse(io.BytesIO(docx("x")), print)
