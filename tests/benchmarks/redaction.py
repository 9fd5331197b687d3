"""What hiding secrets costs, beside the same work done by Python's own `re`, and what hostile text can make of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable

from fleet_rlm.core.events import Event, SpanEnd, SpanStart, Usage, encode
from fleet_rlm.core.redaction import REDACTED, Redactor
from tests.benchmarks.measure import Figure, Row, at_most, figure

ENVIRON = {"SERVICE_API_KEY": "benchmark-of-a-key-0123456789", "WAREHOUSE_URL": "postgresql://me:pass-w0rd@db/main"}

PROSE = "The quick brown fox jumps over the lazy dog; foo(bar) counts tokens: 12345 of [1, 2, 3].\n"

LOOK = re.compile(
    rb"sk-|gh[pousr]_|xox[abprs]-|AKIA|eyJ|PRIVATE KEY-|benchmark-of-a-key-0123456789|postgresql://me:pass-w0rd@db/main"
)
"""One look by `re` for the beginnings of six shapes and two values: no names, no addresses, no encoded forms."""

NAMED = re.compile(
    r"(?i)([\w.-]*(?:api[_-]?key|secret|passw(?:or)?d|token)[\w.-]*[\"']?\s*[:=]\s*[\"']?)([^\s\"',;]{8,})"
)
"""A secret by its name as one writes it for `re`; it is this kind of pattern that hostile text holds up."""


def rows(quick: bool) -> list[Row]:
    """Clean events of three sizes, a text with secrets, hostile text."""
    redactor = Redactor(environ=ENVIRON)
    redactor.text("")  # compiled once per set of secrets, which has a row of its own
    n = 3 if quick else 9
    found = [_clean(redactor, size, n) for size in (0, 2_000, 30_000)]
    leaky = PROSE * 1_100 + "password = hunter2hunter2\n"
    hostile = "a" * (4_000 if quick else 20_000)
    assert REDACTED in redactor.text(leaky)
    with_re = _per_call(lambda: NAMED.sub(REDACTED, hostile), 1, 1)
    ours = _per_call(lambda: redactor.text(hostile), n, 10)
    return [
        *found,
        Row("100 KB of text with a secret in it, redacted", "s", _per_call(lambda: redactor.text(leaky), n, 10)),
        Row(
            f"{len(hostile):,} times the letter a",
            "s",
            ours,
            bars=[at_most(f"<= 1 % of `re` ({with_re.value:,.3g} s)", ours.value, 0.01 * with_re.value)],
        ),
        Row("the first event of a process: RE2 imported and compiled", "s", _first()),
    ]


def _clean(redactor: Redactor, size: int, n: int) -> Row:
    event = _event(size)
    assert redactor.clean(event) == event
    ours = _per_call(lambda: redactor.clean(event), n, 200)
    with_re = _per_call(lambda: LOOK.search(encode(event)), n, 200)
    factor = 1 if size else 2  # of a tiny event, the call itself is what costs
    bar = at_most(f"<= {factor}x one look by `re` ({with_re.value * 1e6:,.1f} us)", ours.value, factor * with_re.value)
    return Row(f"a clean event of {len(encode(event)):,} bytes, looked at", "s", ours, bars=[bar])


def _event(size: int) -> Event:
    if not size:
        return SpanEnd(span="s1", status="ok", output="42", usage=Usage(llm_calls=1, tokens_in=100, tokens_out=20))
    attrs = {"model": "openai/m", "key": "0123456789abcdef0123"}
    text = PROSE * (size // len(PROSE))
    return SpanStart(span="s1", type="llm", name="query", attrs=attrs, input=text)


def _per_call(work: Callable[[], object], n: int, times: int) -> Figure:
    """Seconds of one call; of each of the n measurements, `times` calls long."""
    measured = []
    for _ in range(n):
        begin = time.perf_counter()
        for _ in range(times):
            work()
        measured.append((time.perf_counter() - begin) / times)
    return figure(measured)


def _first() -> Figure:
    """In a fresh process, as each family is, up to the last imports of the package's own."""
    code = (
        "import time\nfrom fleet_rlm.core.redaction import Redactor\nbegin = time.perf_counter()\n"
        f"Redactor(environ={ENVIRON!r}).text('x')\nprint(time.perf_counter() - begin)"
    )
    command = [sys.executable, "-c", code]
    return figure(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3))
