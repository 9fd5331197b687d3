"""Variables arrive, and what code makes comes back, whatever its size."""

from __future__ import annotations

from tests.conformance.backends import Local, Make


def test_variables_arrive(make: Make) -> None:
    sandbox = make()
    assert "7" in sandbox.run("a + len(b)", {"a": 3, "b": ["x"] * 4}).text()


def test_large_text_and_bytes_cross_both_ways(local: Local) -> None:
    text = "x\0\ud800é" * 500_000
    sandbox = local(tools={"echo": lambda value: value})
    sandbox.put("text", text)
    assert sandbox.run("echo(text) == text, echo(text.encode('utf-8', 'replace')[:2_000_000]) is not None").value == (
        "(True, True)"
    )
    assert sandbox.get("text") == text
