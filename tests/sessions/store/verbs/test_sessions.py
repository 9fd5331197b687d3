"""Sessions: found by id or name, listed in pages, and deleted whole."""

from __future__ import annotations

import datetime

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store import NameTaken, NotFound, Scope
from tests.sessions.store.logs import begun, call


def test_a_session_is_found_by_id_and_by_name(mine: Scope) -> None:
    made = mine.sessions.create("incident", title="What broke", metadata={"team": "shop"})
    assert mine.sessions.get(made.id) == mine.sessions.get("incident") == made
    assert made.status == "active"
    assert made.created_at.tzinfo is datetime.UTC


def test_an_id_may_be_given(mine: Scope) -> None:
    assert mine.sessions.get(mine.sessions.create("x", id="chosen").id).name == "x"
    with pytest.raises(NameTaken):
        mine.sessions.create("y", id="chosen")


def test_a_name_is_taken_once_by_each_user(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    for scope in (mine, colleagues, theirs):
        scope.sessions.create("incident")
    with pytest.raises(NameTaken, match="'incident' already; take another name"):
        mine.sessions.create("incident")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "two\nlines", "nul\x00"])
def test_a_name_that_cannot_be_shown_is_refused(mine: Scope, name: str) -> None:
    with pytest.raises(UserError, match="1 to 200 printable characters"):
        mine.sessions.create(name)


def test_what_belongs_to_others_is_as_good_as_not_there(mine: Scope, colleagues: Scope, theirs: Scope) -> None:
    made = mine.sessions.create("incident")
    for scope in (colleagues, theirs):
        for attempt in (
            lambda scope=scope: scope.sessions.get(made.id),
            lambda scope=scope: scope.sessions.rename(made.id, "stolen"),
            lambda scope=scope: scope.sessions.delete(made.id),
            lambda scope=scope: scope.turns.append(made.id, "hello"),
        ):
            with pytest.raises(NotFound, match="there is no session"):
                attempt()
    assert mine.sessions.get("incident") == made


def test_a_list_is_searched_filtered_and_paged(mine: Scope, theirs: Scope) -> None:
    theirs.sessions.create("orders of others")
    for number in range(5):
        mine.sessions.create(f"Orders {number}", title=f"100% of week_{number}")
    mine.sessions.create("logs")
    page = mine.sessions.list(search="orders", limit=2, offset=2)
    assert [session.name for session in page.items] == ["Orders 2", "Orders 1"]
    assert (page.total, page.has_more) == (5, True)
    assert not mine.sessions.list(search="orders", limit=2, offset=4).has_more
    assert [one.name for one in mine.sessions.list(search="week_3").items] == ["Orders 3"]
    assert mine.sessions.list(search="100% of w").total == 5
    assert mine.sessions.list(search="%s").total == 0


def test_a_list_may_be_cut_by_time(mine: Scope) -> None:
    first, second = mine.sessions.create("first"), mine.sessions.create("second")
    assert [one.name for one in mine.sessions.list(created_after=second.created_at).items] == ["second"]
    assert [one.name for one in mine.sessions.list(created_before=second.created_at).items] == ["first"]
    zone = datetime.timezone(datetime.timedelta(hours=5))
    assert mine.sessions.list(created_after=first.created_at.astimezone(zone)).total == 2


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1_001, 0), (10, -1)])
def test_a_page_that_is_none_is_refused(mine: Scope, limit: int, offset: int) -> None:
    with pytest.raises(UserError, match=r"limit must be|offset must be"):
        mine.sessions.list(limit=limit, offset=offset)


def test_the_session_that_was_used_last_comes_first(mine: Scope) -> None:
    mine.sessions.create("old")
    mine.sessions.create("new")
    mine.turns.append("old", "hello")
    assert [one.name for one in mine.sessions.list().items] == ["old", "new"]


def test_renaming_keeps_everything_else(mine: Scope) -> None:
    made = mine.sessions.create("draft", title="T")
    renamed = mine.sessions.rename("draft", "final")
    assert (renamed.id, renamed.name, renamed.title) == (made.id, "final", "T")
    mine.sessions.create("other")
    with pytest.raises(NameTaken):
        mine.sessions.rename("other", "final")


def test_a_patch_merges_the_metadata_and_none_removes(mine: Scope) -> None:
    mine.sessions.create("s", title="old", metadata={"keep": 1, "drop": 2})
    patched = mine.sessions.patch("s", metadata={"drop": None, "add": [3]})
    assert (patched.title, patched.meta) == ("old", {"keep": 1, "add": [3]})
    assert mine.sessions.patch("s", title="new").meta == {"keep": 1, "add": [3]}


def test_an_archived_session_leaves_the_list_and_comes_back(mine: Scope) -> None:
    mine.sessions.create("s")
    assert mine.sessions.archive("s").status == "archived"
    assert mine.sessions.list().total == 0
    assert mine.sessions.list(status=None).total == mine.sessions.list(status="archived").total == 1
    assert mine.sessions.restore("s").status == "active"
    assert mine.sessions.list().total == 1


def test_deleting_takes_all_that_hangs_below(mine: Scope) -> None:
    session = mine.sessions.create("s")
    mine.turns.append("s", "hello", run_id="r1")
    log = begun()
    call(log)
    mine.runs.begin(log.events_since(0)[0], session_id=session.id)  # type: ignore[arg-type]
    mine.events.append(mine.runs.lease("r1", "me"), log.events_since(0))
    mine.feedback.give("r1", "correct", True)
    mine.memory.write("fact", "text", session="s")
    mine.memory.write("fact", "of all sessions")
    mine.sessions.delete("s")
    assert mine.events.since("r1") == []
    assert mine.runs.list().total == mine.spans.list().total == mine.feedback.list().total == 0
    assert [memory.text for memory in mine.memory.list().items] == ["of all sessions"]
    assert mine.sessions.create("s").id != session.id


def test_texts_that_a_database_refuses_are_kept_without_the_signs(mine: Scope) -> None:
    made = mine.sessions.create("s", title="nul \x00 and \ud800", metadata={"k\x00": ["\udfff"]})
    assert mine.sessions.get(made.id).title == "nul \ufffd and \ufffd"
    assert mine.sessions.get(made.id).meta == {"k\ufffd": ["\ufffd"]}
