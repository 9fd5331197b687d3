"""The page holds what the run tells, loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

from fleet_rlm.core import events as ev
from fleet_rlm.core.report import html_page
from fleet_rlm.core.tree import Tree

VOID = {"meta", "br", "img", "hr"}


class Page(HTMLParser):
    """Tags balanced, and every tag and attribute collected."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def of(*events: ev.Event) -> Tree:
    for seq, event in enumerate(events):
        event.run, event.seq, event.ts = "r1", seq, 1_000_000 * seq
    return Tree(events)


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>[a](javascript:alert(3)) ![b](http://else.where/p.png)"


def hostile() -> Tree:
    return of(
        ev.RunStart(task=HOSTILE, mode=HOSTILE, model=HOSTILE, context=[_variable(HOSTILE)]),
        ev.SpanStart(span="s1", type="rlm", name=HOSTILE, input=HOSTILE, code=HOSTILE, attrs={"model": HOSTILE}),
        ev.Delta(span="s1", channel="stdout", text=HOSTILE),
        ev.Display(span="s1", mimebundle={"text/html": HOSTILE, "text/plain": HOSTILE, "image/svg+xml": HOSTILE}),
        ev.Artifact(span="s1", id="a1", name=HOSTILE, mime=HOSTILE, bytes=1, sha256="", path=HOSTILE),
        ev.Note(span="s1", level="info", text=HOSTILE),
        ev.SpanEnd(span="s1", status="error", output=HOSTILE, error_type=HOSTILE, error=HOSTILE),
        ev.SandboxState(
            state="started", backend=HOSTILE, tier=HOSTILE, guarantees={HOSTILE: HOSTILE}, missing=[HOSTILE]
        ),
        ev.RunEnd(status="failed", answer=HOSTILE, error_type=HOSTILE, error=HOSTILE),
    )


def _variable(text: str) -> ev.Variable:
    return ev.Variable(name=text, type=text, size=text, preview=text)


def test_nothing_a_model_or_user_wrote_becomes_markup() -> None:
    page = Page(html_page(hostile()))

    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert (attrs.get("src") or "data:").startswith("data:")
        assert (attrs.get("href") or "https:").startswith(("https:", "http:"))


def test_the_page_says_to_the_browser_that_it_loads_nothing(golden: Callable[[str], Tree]) -> None:
    page = Page(html_page(golden("auto")))

    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "link" not in {tag for tag, _ in page.tags}


def test_answer_spans_code_output_and_isolation_are_on_the_page(golden: Callable[[str], Tree]) -> None:
    tree = golden("auto")
    text = "".join(Page(html_page(tree)).words)

    for span in tree.spans.values():
        for said in (span.code, span.stdout, span.thought):
            assert (said or "") in text
    assert "412 per minute" in text
    assert "seccomp: no sockets" in text
    assert "Missing: separate user namespace" in text
    assert "9 of 40" in text


def test_the_stand_in_is_named_as_one(golden: Callable[[str], Tree]) -> None:
    assert "rule-based stand-in, not a language model" in html_page(golden("exhausted"))
    assert "stand-in" not in html_page(golden("auto"))


def test_an_unknown_cost_is_unknown_and_not_nothing(golden: Callable[[str], Tree]) -> None:
    text = html_page(golden("exhausted"))

    assert "<dt>cost</dt><dd>unknown</dd>" in text


def test_a_run_that_goes_on_has_a_page_too() -> None:
    tree = of(ev.RunStart(task="q", mode="auto", model="m"), ev.SpanStart(span="s1", type="turn", name="auto"))

    assert "running" in html_page(tree)
    assert "no answer" in html_page(tree)
    assert "fleet run" in html_page(Tree())


def test_lone_surrogates_and_nul_bytes_can_be_written_to_a_file() -> None:
    tree = of(ev.RunStart(task="a\udc80b\x00c", mode="auto", model="m"), ev.RunEnd(status="ok", answer="\ud800"))

    html_page(tree).encode("utf-8")


def test_a_page_of_a_huge_run_stays_readable_and_says_what_it_left_out() -> None:
    events: list[ev.Event] = [ev.RunStart(task="q", mode="auto", model="m")]
    for number in range(3_000):
        events += [
            ev.SpanStart(span=f"s{number}", type="code", name="cell", code="x" * 30_000),
            ev.SpanEnd(span=f"s{number}", status="ok", output="y" * 30_000),
        ]
    text = html_page(of(*events))

    assert len(text) < 6_000_000
    assert "characters left out" in text
    assert "more in the run" in text
