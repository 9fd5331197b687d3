"""Secrets are out of every text of an event, and ordinary text stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.core.events import Delta, RunStart, SpanEnd, SpanStart, Usage, Variable, encode
from fleet_rlm.core.redaction import REDACTED, Redactor, encodable

ENVIRON = {
    "OPENAI_API_KEY": "no-special-shape-1234",
    "GITHUB_TOKEN": "another-value-5678",
    "DATABASE_URL": "postgres://me:pw@host/db",
    "HOME": "/home/somebody",
    "SHORT_KEY": "true",
    "EMPTY_SECRET": "",
}


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GITHUB_TOKEN", "DATABASE_URL"])
def test_values_of_variables_named_like_secrets_are_removed(name: str) -> None:
    redactor = Redactor(environ=ENVIRON)
    assert redactor.text(f"a {ENVIRON[name]} b {ENVIRON[name]}") == f"a {REDACTED} b {REDACTED}"


@pytest.mark.parametrize("text", ["/home/somebody", "it is true", "", "no-special-shape", "the key is under the mat"])
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor(environ=ENVIRON).text(text) == text


def test_a_key_passed_to_a_model_is_removed() -> None:
    assert Redactor(["my-own-secret"], environ={}).text("it is my-own-secret!") == f"it is {REDACTED}!"


def test_a_secret_that_contains_another_is_removed_whole() -> None:
    redactor = Redactor(["abcdefgh", "abcdefgh-and-more"], environ={})
    assert redactor.text("abcdefgh-and-more abcdefgh") == f"{REDACTED} {REDACTED}"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789abcdefghijklmn",
        "sk-ant-api03-0123456789_abcdefgh",
        "ghp_0123456789abcdefghij0123456789abcdef",
        "xoxb-0123456789-abcdefghij",
        "AKIA0123456789ABCDEF",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_shapes_that_only_credentials_have_are_removed(secret: str) -> None:
    assert Redactor(environ={}).text(f"token={secret}, and more") == f"token={REDACTED}, and more"


@pytest.mark.parametrize("text", ["task-force", "risk-0123456789abcdefgh", "sk-short", "AKIA", "eyJ", "-----BEGIN"])
def test_shapes_that_only_look_alike_stay(text: str) -> None:
    assert Redactor(environ={}).text(text) == text


def test_every_text_of_an_event_is_cleaned_and_nothing_else_changes() -> None:
    secret = "s3cret-value"
    event = SpanStart(
        span="s1",
        type="code",
        name=f"run {secret}",
        depth=3,
        code=f"x = {secret!r}",
        input=f"{secret}",
        attrs={f"key {secret}": [secret, {"deep": (secret, 1, None, True)}]},
    )
    clean = Redactor([secret], environ={}).clean(event)
    assert secret not in encode(clean).decode()
    assert (clean.span, clean.type, clean.depth) == ("s1", "code", 3)  # type: ignore[attr-defined]
    assert clean.attrs == {f"key {REDACTED}": [REDACTED, {"deep": [REDACTED, 1, None, True]}]}  # type: ignore[attr-defined]
    assert event.name == f"run {secret}"


def test_records_inside_an_event_are_cleaned_too() -> None:
    variable = Variable(name="logs", type="str", size="9", preview="s3cret-value")
    clean = Redactor(["s3cret-value"], environ={}).clean(RunStart(task="t", mode="m", model="m", context=[variable]))
    assert clean.context == [Variable(name="logs", type="str", size="9", preview=REDACTED)]  # type: ignore[attr-defined]


def test_an_event_without_texts_is_untouched() -> None:
    event = SpanEnd(span="s1", status="ok", usage=Usage(llm_calls=1, tokens_in=5))
    assert Redactor(["s3cret-value"], environ={}).clean(event) == event


@given(some.text(some.characters(), max_size=40))
def test_whatever_a_text_holds_it_can_be_written(text: str) -> None:
    clean = Redactor(environ={}).clean(Delta(channel="stdout", text=text))
    assert json.loads(encode(clean))["text"] == clean.text  # type: ignore[attr-defined]
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert clean.text == text  # type: ignore[attr-defined]


def test_lone_surrogates_become_the_replacement_character() -> None:
    assert Redactor(environ={}).text("a\ud83d\x00b") == "a\ufffd\x00b"


def test_a_request_is_made_encodable_without_hiding_anything_else() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a\ud83d sk-0123456789abcdefghij"}], "n": 1}]
    assert encodable(messages) == [
        {"role": "user", "content": [{"type": "text", "text": "a\ufffd sk-0123456789abcdefghij"}], "n": 1}
    ]
    assert encodable(None) is None


def test_a_long_text_takes_no_long_time() -> None:
    text = "eyJ" + "a" * 500_000 + "sk-" * 100_000
    assert REDACTED in Redactor(["s3cret-value"], environ={}).text(text + " s3cret-value")


AWKWARD = ['quo"ted\\secret', "line\nbreak secret", "geheimnis-äöü", "control\x01secret", "\ud800surrogate"]
PIECES = [
    *AWKWARD,
    "sk-proj-0123456789abcdefghijklmn",
    "AKIA0123456789ABCDEF",
    "\n",
    "\\",
    '"',
    "é",
    "\ud800",
    "sk-",
    "word",
]


@given(some.lists(some.sampled_from(PIECES), max_size=6).map("".join))
def test_one_look_at_an_events_line_finds_whatever_looking_into_it_finds(text: str) -> None:
    redactor = Redactor(AWKWARD, environ={})
    event = SpanStart(span="s1", type="llm", name="n", input=text, attrs={text: [text]})
    assert redactor.clean(event) == redactor.value(event)
