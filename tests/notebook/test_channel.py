"""The way of events to the page: all of them, in order, in few and small messages, and again for who asks."""

from __future__ import annotations

import itertools
import json
import queue
import threading
from typing import Any

import pytest

from fleet_rlm.core.events import Delta, Note, encode, to_dict
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.loop import background_loop
from fleet_rlm.notebook.channel import MESSAGE_BYTES, MESSAGES_PER_FLUSH, PERIOD, Channel


class Page:
    """A listener that notes what arrives, when, and on which thread."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.times: list[float] = []
        self.threads: set[int] = set()

    def send(self, message: dict[str, Any]) -> None:
        self.times.append(background_loop().time())
        self.threads.add(threading.get_ident())
        self.inbox.put(message)

    def next(self) -> dict[str, Any]:
        return self.inbox.get(timeout=10)

    def until(self, seq: int) -> list[dict[str, Any]]:
        """The messages up to and with the one that holds event `seq`."""
        messages = [self.next()]
        while messages[-1]["to"] < seq:
            messages.append(self.next())
        return messages


@pytest.fixture
def page() -> Page:
    return Page()


def fill(log: RunLog, count: int, text: str = "x") -> None:
    for _ in range(count):
        log.emit(Note(level="info", text=text))


def items(messages: list[dict[str, Any]]) -> list[Any]:
    return [item for message in messages for item in message["items"]]


def test_events_of_one_moment_travel_in_one_message(page: Page) -> None:
    log = RunLog("r")
    Channel(log, page.send)
    fill(log, 50)
    message = page.next()
    assert (message["v"], message["t"], message["from"], message["to"]) == (1, "events", 0, 49)
    assert message["items"] == [to_dict(event) for event in log.events_since(0)]


def test_what_was_emitted_before_the_channel_opened_is_sent_too(page: Page) -> None:
    log = RunLog("r")
    fill(log, 3)
    Channel(log, page.send)
    assert page.next()["to"] == 2


def test_events_of_many_threads_arrive_once_in_order_and_from_one_thread(page: Page) -> None:
    log = RunLog("r")
    Channel(log, page.send)
    emitters = [threading.Thread(target=fill, args=(log, 250)) for _ in range(4)]
    for emitter in emitters:
        emitter.start()
    messages = page.until(999)
    assert [item["seq"] for item in items(messages)] == list(range(1000))
    assert len(page.threads) == 1
    assert threading.get_ident() not in page.threads


def test_messages_stay_small_and_flushes_keep_their_distance(page: Page) -> None:
    log = RunLog("r")
    fill(log, 600, "y" * 1000)
    Channel(log, page.send)
    messages = page.until(599)
    assert len(messages) > MESSAGES_PER_FLUSH
    for message in messages:
        assert sum(len(json.dumps(item)) for item in message["items"]) < MESSAGE_BYTES * 1.1
    flushes = page.times[::MESSAGES_PER_FLUSH]
    assert all(later - earlier > PERIOD * 0.9 for earlier, later in itertools.pairwise(flushes))


def test_an_event_larger_than_a_message_travels_alone(page: Page) -> None:
    log = RunLog("r")
    log.emit(Note(level="info", text="small"))
    log.emit(Note(level="info", text="z" * (2 * MESSAGE_BYTES)))
    log.emit(Note(level="info", text="small"))
    Channel(log, page.send)
    assert [(message["from"], message["to"]) for message in page.until(2)] == [(0, 0), (1, 1), (2, 2)]


def test_a_page_that_asks_gets_everything_from_there_on(page: Page) -> None:
    log = RunLog("r")
    fill(log, 10)
    sender = Channel(log, page.send)
    page.until(9)
    sender.resend(4)
    again = page.next()
    assert (again["from"], again["to"]) == (4, 9)
    sender.resend(0)
    assert page.next()["from"] == 0


def test_a_page_that_missed_nothing_is_answered_with_an_empty_batch(page: Page) -> None:
    log = RunLog("r")
    fill(log, 2)
    sender = Channel(log, page.send)
    page.until(1)
    sender.resend(2)
    answer = page.next()
    assert (answer["from"], answer["to"], answer["items"]) == (2, 1, [])


def test_a_page_ahead_of_the_log_does_not_make_it_skip_events(page: Page) -> None:
    log = RunLog("r")
    sender = Channel(log, page.send)
    sender.resend(1000)
    assert page.next()["from"] == 0
    fill(log, 1)
    assert page.next()["from"] == 0


def test_a_closed_channel_sends_nothing_more(page: Page) -> None:
    log = RunLog("r")
    sender, other = Channel(log, page.send), Page()
    fill(log, 1)
    page.next()
    sender.close()
    fill(log, 1)
    sender.resend(0)
    Channel(log, other.send)
    other.until(1)
    assert page.inbox.empty()


def test_what_the_page_gets_is_what_a_saved_log_holds(page: Page) -> None:
    log = RunLog("r")
    log.emit(Delta(channel="stdout", text="é \x00 \u2028 </script>"))
    Channel(log, page.send)
    assert page.next()["items"] == [json.loads(encode(log.events_since(0)[0]))]
