"""The demo's answers are right: each is compared with a gold that is computed here by other means."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from fleet_rlm.cli.demo import incident, orders
from fleet_rlm.cli.main import main

NOT_PYTHON_S_OWN = {"site-packages", "dist-packages", "__pycache__"}


def demo(number: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["demo", "--question", str(number)]) == 0
    return capsys.readouterr().out


def announced_removals() -> dict[str, set[str]]:
    """Module path -> versions, from the syntax trees of the standard library; a computed version is not announced."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        text = path.read_bytes()
        if b"_deprecated" not in text or NOT_PYTHON_S_OWN & set(path.relative_to(root).parts):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings._deprecated":
                (remove,) = (word.value for word in node.keywords if word.arg == "remove")
                if isinstance(remove, ast.Tuple):
                    version = ".".join(map(str, ast.literal_eval(remove)))
                    found.setdefault(path.relative_to(root).as_posix(), set()).add(version)
    return found


def test_question_1_finds_every_announced_removal_and_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    told = demo(1, capsys)

    answered = {
        path: set(versions.split(", ")) for path, versions in re.findall(r"^- (\S+\.py): ([\d., ]+)$", told, re.M)
    }
    assert answered == announced_removals()
    characters = re.search(r"over `stdlib`: ([\d,]+) characters", told)
    assert characters is not None
    assert int(characters[1].replace(",", "")) > 10_000_000


def test_question_2_totals_a_million_rows_as_plain_python_does(capsys: pytest.CaptureFixture[str]) -> None:
    told = demo(2, capsys)
    frame = orders.orders()
    totals: Counter[str] = Counter()
    for country, status, revenue in zip(frame["country"], frame["status"], frame["revenue"], strict=True):
        if status == "delivered":
            totals[country] += revenue

    answered = [(country, float(total)) for country, total in re.findall(r"^- (\w\w): ([\d.]+)", told, re.M)]
    assert len(frame) > 1_000_000
    assert [country for country, _ in answered] == [country for country, _ in totals.most_common(5)]
    assert [total for _, total in answered] == pytest.approx([total for _, total in totals.most_common(5)], abs=0.01)


def test_question_3_finds_the_incident_in_files_of_every_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = demo(3, capsys)
    folder = incident.write_files(tmp_path)
    gold = {}
    for path in folder.rglob("*.*"):
        if count := sum(incident.PHRASE in line for line in path.read_text("utf-8").splitlines()):
            gold[path.relative_to(folder).as_posix()] = count

    answered = {path: int(count) for path, count in re.findall(r"^- (\S+\.\w+): (\d+)$", told, re.M)}
    assert answered == gold
    assert {Path(path).suffix for path in gold} == {".log", ".csv", ".md"}
    assert f"{incident.START:%Y-%m-%d %H:%M:%S} ERROR payments" in told


def test_the_print_out_has_all_that_the_demo_promises(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", "--question", "3", "--html", str(tmp_path / "report.html")]) == 0
    told = capsys.readouterr().out

    promised = [
        "How many lines per file mention 'certificate has expired'?",
        "✓ sandbox local",
        "rlm sub_rlm",
        "answer by fleet/offline (rule-based stand-in, not a language model)",
        "Evidence:",
        "model calls",
        "sent to the model",
        "run.spans().head() of",
        f"report  {tmp_path / 'report.html'}",
        "from question to answer",
    ]
    places = [told.find(said) for said in promised]
    assert -1 not in places
    assert places == sorted(places)


def test_the_made_data_is_the_same_on_every_machine(tmp_path: Path) -> None:
    first, second = incident.write_files(tmp_path / "a"), incident.write_files(tmp_path / "b")

    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    assert orders.orders(1_000).equals(orders.orders(1_000))


def test_the_demo_leaves_nothing_behind_but_its_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    demo(3, capsys)

    assert not list(tmp_path.glob("fleet-demo-*"))
