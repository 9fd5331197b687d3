"""What a call used, as its answer tells it or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet_rlm.server.services.lm.metering import Meter, Used

EXPECTED = Used(30, 20, 10)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def _metered(response: httpx.Response) -> Used:
    meter = Meter()
    async for _ in meter.reading(response):
        pass
    return meter.at_least(EXPECTED)


@pytest.mark.parametrize(("came", "written"), [(3, 10), (40, 40)])
def test_a_stream_that_nobody_heard_to_its_end_is_what_came_or_was_expected(came: int, written: int) -> None:
    stream = _Stream([b'data: {"choices": []}\n\n'] * came)
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=stream)
    assert asyncio.run(_metered(response)) == Used(20 + written, 20, written)


def test_what_a_provider_tells_goes_before_what_was_expected() -> None:
    told = {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
    assert asyncio.run(_metered(httpx.Response(200, json=told))) == Used(7, 3, 4)
