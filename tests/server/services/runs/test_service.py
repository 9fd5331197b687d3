"""Runs are begun in kernels of their own, with the models that there are now."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fleet_rlm.server.services.errors import ModelUnavailable
from fleet_rlm.server.services.kernels.service import Rules
from fleet_rlm.server.services.runs.models import StartRun
from fleet_rlm.server.services.runtime.models import PatchSettings
from tests.server.services.runs.housing import ME, house, run


def test_a_kernel_that_nobody_asks_anything_ends_and_one_that_works_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, Rules(idle_s=0.5)) as made:
            started = await made.runs.start(ME, StartRun(message="how many errors?", session="s"))
            async for _ in made.reading.events(ME, started.run):
                assert made.kernels.own == 1
            while made.kernels.own:  # noqa: ASYNC110 - nothing tells when one has ended
                await asyncio.sleep(0.05)
            again = await made.runs.start(ME, StartRun(message="and warnings?", session="s"))
            assert again.session == started.session

    run(main())


def test_whoever_asks_for_a_model_chooses_among_those_set_last(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, OPENAI_API_KEY="sk-none", OPENAI_BASE_URL="http://127.0.0.1:9/v1") as made:
            asked = StartRun(message="how many errors?", session="s", model="openai/no-such")
            with pytest.raises(ModelUnavailable, match=r"no model 'openai/no-such'; there are: none but the stand-in"):
                await made.runs.start(ME, asked)
            made.runtime.change("local", PatchSettings(updates={"FLEET_LM": "openai/later"}))
            with pytest.raises(ModelUnavailable, match=r"there are: later"):
                await made.runs.start(ME, asked)

    run(main())
