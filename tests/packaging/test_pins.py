"""The pins of `requirements/` are complete, hashed, free of addresses, and fit what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
SETS = ["run", "lab", "test"]


def pins(name: str) -> dict[str, set[Version]]:
    """Package -> its pinned versions; more than one where markers tell environments apart."""
    found = defaultdict(set)
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for entry in re.split(r"\n(?=[^\s#])", text):
        requirement = Requirement(entry.partition("\\")[0].partition("--hash")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), requirement
        found[canonicalize_name(requirement.name)].add(Version(pin.version))
    return found


def asked(extras: list[str]) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    written = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return [Requirement(line) for line in written if not line.startswith("fleet-rlm")]


@pytest.mark.parametrize(("name", "extras"), [("run", []), ("lab", ["lab"]), ("test", ["lab", "test"])])
def test_everything_the_project_asks_for_is_pinned_as_it_asks(name: str, extras: list[str]) -> None:
    found = pins(name)

    for requirement in asked(extras):
        versions = found[canonicalize_name(requirement.name)]
        assert versions, requirement
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_sets_agree_on_every_package() -> None:
    test = pins("test")

    for name in ("run", "lab"):
        differing = {package for package, versions in pins(name).items() if versions != test.get(package)}
        assert not differing


@pytest.mark.parametrize("name", [*SETS, "bench"])
def test_pins_name_no_place_to_download_from(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()

    assert not re.search(r"https?:|^--?(?:i|index-url|extra-index-url|find-links|f)\b", text, re.MULTILINE)
