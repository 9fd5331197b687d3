"""What runs tell is whole, also where some of it gets lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fleet_rlm.server.services.house import House
from fleet_rlm.server.services.kernels.service import Held
from fleet_rlm.server.services.runs.models import StartRun
from tests.server.services.runs.housing import ME, house, run


def lossy(house: House, lose: Callable[[int], bool]) -> None:
    """Lose some of the messages that bring events, as a full socket would."""
    listener = house.kernels.listener
    deliver = listener.on_events
    count = iter(range(1_000_000))

    def deliver_some(held: Held, run: str, first: int, lines: list[bytes]) -> None:
        if not lose(next(count)):
            deliver(held, run, first, lines)

    listener.on_events = deliver_some  # type: ignore[method-assign]


def test_events_that_were_lost_on_the_way_are_asked_for_again(tmp_path: Path) -> None:
    """Every second message; the last one too, of which only the kernel's sign of life tells."""

    async def main() -> None:
        async with house(tmp_path) as made:
            lossy(made, lambda number: number % 2 == 0)
            started = await made.runs.start(ME, StartRun(message="how many errors?", session="s"))
            numbers: list[int] = []
            async for batch in made.reading.events(ME, started.run):
                numbers += range(batch.first, batch.next)
            told = await made.reading.get(ME, started.run)
            assert numbers == list(range(told.next))
            assert told.status == "ok"

    run(main())
