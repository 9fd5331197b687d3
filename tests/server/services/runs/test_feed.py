"""The live end of a run."""

from __future__ import annotations

import asyncio

from fleet_rlm.core.events import RunEnd, SandboxState, SpanEnd, Usage, encode
from fleet_rlm.server.services.runs.feed import KEEP_BYTES, Batch, Feed, Spent

START = b'{"kind":"run.start"}'
END = encode(RunEnd(run="r", seq=1, status="ok"))
RESUME = b'{"kind":"run.resume"}'


def batch(first: int, *lines: bytes) -> Batch:
    return Batch("r", first, lines)


def test_a_batch_that_was_seen_is_not_taken_twice() -> None:
    feed = Feed("r")
    assert feed.take(batch(0, b"a", b"b"))
    assert feed.take(batch(1, b"b", b"c"))
    assert feed.take(batch(0, b"a"))
    kept = feed.since(0)
    assert kept is not None
    assert list(kept.lines) == [b"a", b"b", b"c"]
    assert feed.next == 3


def test_a_batch_after_a_gap_is_not_taken_at_all() -> None:
    feed = Feed("r")
    feed.take(batch(0, b"a"))
    assert not feed.take(batch(2, b"c"))
    assert feed.next == 1
    assert feed.take(batch(1, b"b", b"c"))
    assert feed.next == 3


def test_what_is_kept_is_bounded_and_older_numbers_are_told_apart() -> None:
    feed = Feed("r")
    line = b"x" * 10_000
    for number in range(1_000):
        feed.take(batch(number, line))
    assert feed.next == 1_000
    assert (feed.next - feed.first) * len(line) <= KEEP_BYTES
    assert feed.since(feed.first - 1) is None
    kept = feed.since(feed.first)
    assert kept is not None
    assert kept.first == feed.first
    assert feed.since(1_000) == Batch("r", 1_000, [])


def test_those_at_the_same_place_get_the_same_batch() -> None:
    feed = Feed("r")
    feed.take(batch(0, b"a", b"b"))
    assert feed.since(1) is feed.since(1)


def ended(usage: Usage | None, seq: int = 1) -> bytes:
    return encode(SpanEnd(run="r", seq=seq, span="s", status="ok", usage=usage))


def test_what_is_spent_is_counted_once_and_never_given_back() -> None:
    feed = Feed("r")
    sandbox = encode(SandboxState(run="r", seq=1, state="started", backend="local", tier="confined"))
    call = ended(Usage(llm_calls=1, tokens_in=100, tokens_out=10, cost_usd=0.25))
    unknown = ended(Usage(llm_calls=1))
    forged = ended(Usage(llm_calls=1, tokens_in=-5_000, tokens_out=-1, cost_usd=-9.0))
    new, kept = (encode(SpanEnd(run="r", seq=2, span="b", status="ok", attrs={"kept": one})) for one in (False, True))
    lines = [START, sandbox, new, sandbox, kept, call, ended(None), unknown, forged]
    lines.append(b'{"kind":"span.end","usage":{"tokens_in":"x"}}')
    feed.take(batch(0, *lines))
    feed.take(batch(0, *lines))
    assert feed.spent == Spent(sandboxes=1, tokens=110, usd=0.25)


def test_what_a_branch_shares_with_its_past_is_not_spent_again() -> None:
    feed = Feed("r")
    call = ended(Usage(llm_calls=1, tokens_in=100, tokens_out=10, cost_usd=0.25))
    feed.take(batch(0, START, call))
    assert not feed.goes_on
    feed.take(batch(2, RESUME, call))
    assert feed.goes_on
    assert feed.spent == Spent(tokens=110, usd=0.25)


def test_the_end_is_seen_and_a_resumed_run_goes_on() -> None:
    feed = Feed("r")
    feed.take(batch(0, START, END))
    assert feed.is_over
    assert feed.end is not None
    assert feed.end.status == "ok"
    feed.take(batch(2, RESUME))
    assert not feed.is_over
    assert feed.end is None


def test_waiting_ends_with_an_event_or_with_the_run() -> None:
    async def main() -> None:
        feed = Feed("r")
        waiting = asyncio.create_task(feed.changed(1))
        await asyncio.sleep(0)
        feed.take(batch(0, b"a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done(), "event 0 is none from 1 on"
        feed.take(batch(1, b"b"))
        await asyncio.wait_for(waiting, 5)
        over = asyncio.create_task(feed.changed(9))
        await asyncio.sleep(0)
        feed.cut()
        await asyncio.wait_for(over, 5)
        assert feed.is_cut
        assert feed.end is None

    asyncio.run(main())


def test_whoever_waits_for_use_is_woken_by_use_and_the_end_only() -> None:
    async def main() -> None:
        feed, seen = Feed("r"), Spent()
        waiting = asyncio.create_task(feed.used(seen))
        feed.take(batch(0, START, b"a", ended(None)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        feed.take(batch(3, ended(Usage(llm_calls=1, tokens_in=7, tokens_out=1))))
        seen = await asyncio.wait_for(waiting, 5)
        assert seen == Spent(tokens=8)
        over = asyncio.create_task(feed.used(seen))
        feed.take(batch(4, ended(None)))
        await asyncio.sleep(0)
        assert not over.done()
        feed.take(batch(5, END))
        assert await asyncio.wait_for(over, 5) == seen

    asyncio.run(main())
