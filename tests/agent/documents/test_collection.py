"""The collection: aliases, the active one, texts by hash, and a state that comes back whole or says what is not."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_rlm.agent.documents import DocumentError, Documents


def test_a_document_is_found_by_alias_and_the_last_one_loaded_is_active(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    first = documents.add("first", "a.txt", "text", ["one", " text"])
    documents.add("second", "b.txt", "text", ["two"])
    assert (documents.get("first").text, documents.get().alias) == ("one text", "second")
    documents.set_active("first")
    assert documents.get() is documents.active is first
    assert [one.alias for one in documents] == ["first", "second"]
    with pytest.raises(DocumentError, match="no document 'third'; there are: 'first', 'second'"):
        documents.get("third")


def test_a_removed_document_gives_its_place_to_the_one_before(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    for alias in ("first", "second"):
        documents.add(alias, alias, "text", [alias])
    documents.remove("second")
    assert documents.get().alias == "first"
    documents.remove("first")
    assert documents.active is None
    with pytest.raises(DocumentError, match="load one with load_document"):
        documents.get()


@pytest.mark.parametrize("alias", ["", "a b", "1st", "class", "_hidden", "print", "SUBMIT", "llm_query", "a-b"])
def test_an_alias_that_cannot_be_a_variable_is_refused(alias: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be the alias"):
        Documents(tmp_path).add(alias, "x", "text", ["x"])


def test_the_state_is_plain_json_and_comes_back_with_the_texts(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    documents.add("first", "a.txt", "pdf", ["häh\n"], {"pages": 3})
    documents.add("second", "b.txt", "text", ["two"])
    documents.set_active("first")
    again = Documents.from_state(json.loads(json.dumps(documents.state())), tmp_path)
    assert again.state() == documents.state()
    assert [(one.text, one.told()) for one in again] == [(one.text, one.told()) for one in documents]
    assert again.get().alias == "first"
    assert sorted(again.hashes()) == sorted(path.name for path in tmp_path.iterdir())


def test_a_text_that_is_gone_or_was_changed_is_told_when_it_is_read_and_the_others_are_there(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    for alias in ("gone", "changed", "whole"):
        documents.add(alias, f"{alias}.txt", "text", [alias])
    documents.get("gone").path.unlink()
    documents.get("changed").path.write_text("CHANGED")
    again = Documents.from_state(documents.state(), tmp_path)
    assert again.get("whole").text == "whole"
    with pytest.raises(DocumentError, match=r"'gone' is gone .* load gone.txt again"):
        again.get("gone").value()
    with pytest.raises(DocumentError, match="was changed on disk"):
        _ = again.get("changed").text


def test_the_same_text_twice_is_kept_once(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    documents.add("one", "a", "text", ["ab", "c"])
    documents.add("two", "b", "text", ["a", "bc"])
    assert len(list(tmp_path.iterdir())) == len(documents.hashes()) == 1


def test_a_disk_that_is_full_leaves_no_half_text_and_the_old_document(tmp_path: Path) -> None:
    def pieces() -> list[str]:
        yield "half"  # type: ignore[misc]
        raise OSError(errno.ENOSPC, "No space left on device")

    documents = Documents(tmp_path)
    documents.add("notes", "a", "text", ["old"])
    with pytest.raises(DocumentError, match=r"cannot be kept in .*: No space left"):
        documents.add("notes", "b", "text", pieces())
    assert documents.get("notes").text == "old"
    assert len(list(tmp_path.iterdir())) == 1


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_text_can_be_kept_and_read_back_in_a_form_a_file_can_have(text: str) -> None:
    documents = Documents()
    kept = documents.add("notes", "a", "text", [text]).text
    assert len(kept) == len(text)
    assert kept == "".join("?" if "\ud800" <= sign <= "\udfff" else sign for sign in text).replace("\0", "\ufffd")


def test_a_collection_without_a_directory_of_its_own_leaves_nothing_behind() -> None:
    documents = Documents()
    place = documents.add("notes", "a", "text", ["x"]).path.parent
    assert place.stat().st_mode & 0o077 == 0
    del documents
    assert not place.exists()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(DocumentError, match="cannot be kept in"):
        Documents(blocked / "kept").add("notes", "a", "text", ["x"])


def test_a_document_is_had_again_by_its_state_only_while_its_text_is_there(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    state = documents.add("notes", "a", "text", ["x"]).state()
    again = Documents(tmp_path)
    assert again.adopt(state) is again.get("notes")
    (tmp_path / state["sha256"]).unlink()
    assert Documents(tmp_path).adopt(state) is None
