"""The story: a killed run is resumed and branched, and what is printed of its model calls is what its log holds."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from fleet_rlm.cli.main import main
from fleet_rlm.core.runs import open_run, run_ids


def test_a_killed_run_is_resumed_branched_compared_and_exported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--story", "--quiet"]) == 0
    told = capsys.readouterr().out
    before, after, again, branch = (
        int(number) for number in re.findall(r"^(?:before|after|of those|the branch)\D*(\d+)", told, re.MULTILINE)
    )
    resumed, branched = (open_run(run_id) for run_id in sorted(run_ids()))
    assert before >= 12
    assert (resumed.status, resumed.usage.llm_calls) == ("ok", before + after)
    asked = [s.attrs.get("key") or s.input for s in resumed.tree.spans.values() if s.type == "llm" and s.status == "ok"]
    assert len(asked) == before + after - again
    assert (branched.status, branched.usage.llm_calls) == ("ok", branch)
    assert branched.tree.start is not None
    assert branched.tree.start.parent_run == resumed.id
    assert "here they part" in told
    for run in (resumed, branched):
        assert len(pd.read_parquet(f"{run.id}.parquet")) == len(run.tree.spans)
        assert str(run.answer).splitlines()[0] in told
