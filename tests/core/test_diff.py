"""Two runs side by side: spans matched by their place, and the place where they part."""

from __future__ import annotations

from fleet_rlm.core import events as ev
from fleet_rlm.core.diff import COLUMNS, FIELDS, Diff
from fleet_rlm.core.log import RunLog
from fleet_rlm.core.report.sides import PLACE, SIDE, TABLE, told
from fleet_rlm.core.tree import Tree


def run(name: str, *replies: str, sandbox: str = "sandbox-1", more: bool = False, parent: str | None = None) -> Tree:
    """A turn of an iteration per reply, whose cell prints the reply."""
    log = RunLog(name)
    log.emit(ev.RunStart(task="What?", mode="rlm_only", model="m", parent_run=parent, parent_span=parent and "s1"))
    with log.span("turn", "rlm_only", input="What?") as turn:
        for number, reply in enumerate(replies, 1):
            with log.span("iteration", f"{number}/20"):
                with log.span("llm", "action") as call:
                    call.output, call.usage = reply, ev.Usage(llm_calls=1)
                with log.span("code", sandbox, code=f"print({reply!r})") as code:
                    code.output = reply
        if more:
            with log.span("llm", "extract") as last:
                last.output = "so"
        turn.output = replies[-1]
    log.emit(ev.RunEnd(status="ok", answer=replies[-1]))
    return Tree(log.events_since(0))


def test_equal_runs_do_not_part() -> None:
    diff = Diff(run("r1", "a", "b"), run("r2", "a", "b", sandbox="sandbox-9"))
    assert diff.parts is None
    assert repr(diff) == "Diff('r1', 'r2': 0 of 7 places differ)"
    assert "here they part" not in str(diff)


def test_runs_part_at_the_innermost_first_place_that_differs() -> None:
    diff = Diff(run("r1", "a", "b", "c"), run("r2", "a", "x", "c"))
    assert diff.parts is not None
    assert diff.parts.a is not None
    assert (diff.parts.node.type, diff.parts.a.output, diff.parts.differs) == ("llm", "b", "output")


def test_what_only_one_side_has_is_shown_on_that_side() -> None:
    longer = Diff(run("r1", "a"), run("r2", "a", "b"))
    assert [pair.differs for pair in longer.pairs][-3:] == ["only in b"] * 3
    shorter = Diff(run("r1", "a", more=True), run("r2", "a"))
    assert [pair.differs for pair in shorter.pairs if pair.node.name == "extract"] == ["only in a"]
    lines = str(longer).splitlines()
    assert [line[0] for line in lines[3:] if "part" not in line] == ["|", " ", ">", ">", ">"]
    assert "(3 spans the same)" in lines[4]


def test_the_text_names_both_runs_and_where_one_was_branched_off() -> None:
    text = str(Diff(run("r1", "a"), run("r2", "b", parent="r1")))
    assert text.startswith("a: r1 (answered, 1 model call)\nb: r2 (answered, 1 model call, branched off r1 at s1)")
    assert text.count("here they part") == 1


def test_a_long_text_is_one_short_line() -> None:
    text = str(Diff(run("r1", "a\n" * 500), run("r2", "b\n" * 500)))
    assert "…" in text
    assert max(map(len, text.splitlines())) <= PLACE + 2 * SIDE + 4


def test_the_frame_has_a_row_for_each_place_with_both_sides() -> None:
    frame = Diff(run("r1", "a", "b"), run("r2", "a", "x", "y")).frame()
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert [*frame.columns[len(COLUMNS) :]] == [
        f"{name}_{side}" for name in (*FIELDS, "llm_calls", "duration_s") for side in "ab"
    ]
    assert list(frame.kind) == ["turn", *["iteration", "llm", "code"] * 3]
    assert list(frame.same) == [False, True, True, True, True, False, False, False, False, False]
    changed = frame[frame.kind == "llm"].iloc[1]
    assert (changed.output_a, changed.output_b, changed.llm_calls_a) == ("b", "x", 1)
    assert frame.span_a.isna().sum() == 3


def test_two_runs_of_nothing_make_an_empty_frame() -> None:
    diff = Diff(Tree(), Tree())
    assert (diff.parts, len(diff.frame())) == (None, 0)
    assert tuple(diff.frame().columns[: len(COLUMNS)]) == COLUMNS


def test_texts_are_shown_from_where_they_differ_but_not_for_a_count() -> None:
    about = "[[ ## query ## ]]\nDescription: {} characters, after words enough to fill the column: ask of the {}"
    diff = Diff(run("r1", about.format(12, "heron")), run("r2", about.format(13, "stork")))
    left, right = told(next(pair for pair in diff.pairs if pair.node.type == "llm"), SIDE)
    assert (left.endswith("ask of the heron"), right.endswith("ask of the stork")) == (True, True)
    assert left.startswith("…")
    long = Diff(run("r1", "x" * 500 + "a"), run("r2", "x" * 500 + "b"))
    assert told(long.pairs[0], SIDE)[0][-1] == "a"


def test_how_many_calls_a_prompt_says_are_left_is_no_difference() -> None:
    def asked(left: int) -> Tree:
        log = RunLog("r")
        log.emit(ev.RunStart(task="What?", mode="rlm_only", model="m"))
        with log.span("llm", "action", input=f"You have max {left} sub-LLM calls.") as call:
            call.output = "so"
        return Tree(log.events_since(0))

    assert Diff(asked(100), asked(99)).parts is None


def test_a_notebook_shows_a_table_that_unfolds_and_can_do_nothing() -> None:
    shown = Diff(run("r1", "<script>a</script>" * 9), run("r2", "b"))._repr_mimebundle_()
    assert "here they part" in shown["text/plain"]
    html = shown["text/html"]
    assert "<script" not in html
    assert f"<details><summary>{'&lt;script&gt;a&lt;/script&gt;' * 2}" in html
    huge = Diff(run("r1", *(f"{'a' * 3_000}{i}" for i in range(60))), run("r2", *(f"b{i}" for i in range(60))))
    assert len(huge._repr_mimebundle_()["text/html"]) < TABLE + 1_000
