"""Messages of many kernels are read together."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import zmq
from zmq.eventloop.zmqstream import ZMQStream

from fleet_rlm.server.services.kernels import collecting
from fleet_rlm.server.services.kernels.collecting import Collector


class Kernels:
    """Sockets that send, and streams on which the collector reads what they sent."""

    def __init__(self, collector: Collector, number: int) -> None:
        context = zmq.Context.instance()
        self.taken: list[tuple[int, bytes]] = []
        self.readings = 0
        self.changed = asyncio.Event()
        self.senders, self.streams, self.ends = [], [], []
        for place in range(number):
            sender = context.socket(zmq.PAIR)
            port = sender.bind_to_random_port("tcp://127.0.0.1")
            receiver = context.socket(zmq.PAIR)
            receiver.connect(f"tcp://127.0.0.1:{port}")
            stream = ZMQStream(receiver)
            stream.on_recv(lambda _: pytest.fail("the stream's own loop read it"))
            self.ends.append(collector.watch(stream, self._taking(place, receiver)))
            self.senders.append(sender)
            self.streams.append(stream)

    def _taking(self, place: int, socket: zmq.Socket[bytes]) -> Callable[[], None]:
        def take() -> None:
            self.readings += 1
            while socket.get(zmq.EVENTS) & zmq.POLLIN:
                self.taken.append((place, socket.recv()))
            self.changed.set()

        return take

    async def until(self, messages: int) -> None:
        async with asyncio.timeout(10):
            while len(self.taken) < messages:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def kernels(number: int) -> AsyncGenerator[Kernels]:
    made = Kernels(Collector(), number)
    try:
        yield made
    finally:
        for end, stream, sender in zip(made.ends, made.streams, made.senders, strict=True):
            end()
            stream.close(linger=0)
            sender.close(linger=0)


def test_where_it_is_quiet_a_message_is_read_at_once_and_the_next_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "PERIOD_S", 3600)

    async def main() -> None:
        async with kernels(2) as told:
            told.senders[0].send(b"one")
            await told.until(1)
            told.senders[1].send(b"two")
            assert select.select([told.streams[1].socket.fileno()], [], [], 10)[0]  # it is there
            for _ in range(10):
                await asyncio.sleep(0)  # a turn of the loop, in which it could be read
            assert told.taken == [(0, b"one")]

    asyncio.run(main())


def test_what_comes_in_a_period_is_read_together_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "PERIOD_S", 0.05)

    async def main() -> None:
        async with kernels(3) as told:
            told.senders[0].send(b"first")
            await told.until(1)
            for number in range(300):
                told.senders[number % 3].send(b"%d" % number)
            await told.until(301)
            assert sorted(told.taken[1:]) == sorted((number % 3, b"%d" % number) for number in range(300))

    asyncio.run(main())


def test_after_a_pause_it_is_read_again_and_again() -> None:
    async def main() -> None:
        async with kernels(2) as told:
            for number in range(50):
                told.senders[number % 2].send(b"%d" % number)
                await told.until(number + 1)

    asyncio.run(main())


def test_one_that_is_watched_no_more_is_not_read_and_the_others_are() -> None:
    async def main() -> None:
        async with kernels(2) as told:
            told.ends[0]()
            told.ends[0] = lambda: None
            told.senders[0].send(b"unheard")
            told.senders[1].send(b"heard")
            await told.until(1)
            assert told.taken == [(1, b"heard")]

    asyncio.run(main())
