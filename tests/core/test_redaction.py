"""Secrets are out of every text of an event, and ordinary text stays as it is."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_rlm.core.events import Delta, Display, RunEnd, RunStart, SpanEnd, SpanStart, Usage, Variable, encode
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


TEXTS = some.lists(some.sampled_from(PIECES) | some.text(max_size=5), max_size=8).map("".join)
KEYS = some.sampled_from(["password", "apiKey", "token", "tokens_in", "customer_key", "accesstokens", "cookies", "x"])
VALUES: some.SearchStrategy[Any] = some.recursive(
    TEXTS | some.integers() | some.booleans() | some.none() | some.floats(allow_nan=False) | some.binary(max_size=9),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS | TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _event(text: str, value: Any) -> SpanStart:
    return SpanStart(span="s1", type="llm", name="n", input=text, attrs={"a": value})


@given(TEXTS, VALUES)
def test_one_look_at_an_events_line_finds_whatever_looking_into_it_finds(text: str, value: Any) -> None:
    redactor = Redactor(AWKWARD, environ={})
    event = _event(text, value)
    assert encode(redactor.clean(event)) == encode(redactor.value(event))


class OnlyLooks(Redactor):
    """Must not have to walk an event."""

    def value(self, value: Any) -> Any:
        raise AssertionError(f"looked into {value}")


@pytest.mark.parametrize(
    "event",
    [
        SpanStart(span="s1", type="llm", name="query", attrs={"model": "openai/m", "key": "0123456789abcdef0123"}),
        SpanStart(span="s1", type="tool", name="t", input='{"query": "how many tokens?", "max_tokens": 4096}'),
        SpanEnd(span="s1", status="ok", output="42 secrets", usage=Usage(llm_calls=1, tokens_in=100, tokens_out=20)),
        Display(
            mimebundle={"text/html": "<b>no password here</b>", "application/json": {"keys": ["a"], "token_ids": [1]}}
        ),
    ],
)
def test_one_look_is_enough_for_the_events_of_every_run(event: Any) -> None:
    assert OnlyLooks(environ=ENVIRON).clean(event) == event


@given(TEXTS, VALUES)
def test_what_is_redacted_is_redacted(text: str, value: Any) -> None:
    redactor = Redactor(AWKWARD, environ={})
    once = redactor.clean(_event(text, value))
    assert encode(redactor.clean(once)) == encode(once)
    assert redactor.text(redactor.text(text)) == redactor.text(text)


@given(some.sets(some.text(min_size=1, max_size=12), max_size=5), some.text(max_size=60), VALUES)
def test_whatever_the_secrets_are_nothing_raises_and_none_comes_out(secrets: set[str], text: str, value: Any) -> None:
    redactor = Redactor(secrets, environ={})
    clean = redactor.clean(_event(text + "".join(secrets), value))
    for secret in map(str.strip, map(encodable, secrets)):
        if len(secret) >= 8 and secret not in REDACTED:
            assert secret not in clean.input  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "secrets",
    [["redacted"], ["[redacted]"], ["acted][redac"], ["x[redacted]"], ["hunter2&[", "][hunter3"], ["]" * 9, "[" * 9]],
)
def test_secrets_made_of_the_mark_end_in_something_stable(secrets: list[str]) -> None:
    redactor = Redactor([*secrets, "my-own-secret"], environ={})
    clean = redactor.text("x" * 20 + "my-own-secret" * 20 + "".join(secrets) + "hunter2&my-own-secrethunter3")
    assert "my-own-secret" not in clean
    assert redactor.text(clean) == clean


HOSTILE = {
    "letters": "a",
    "names": "password_",
    "assigned": "password=",
    "tokens": "sk-a",
    "web tokens": "eyJ",
    "keys": "-----BEGIN PRIVATE KEY-----\n",
    "addresses": "://a:b@",
    "half addresses": "://a",
    "escapes": "\\",
    "quoted names": '"secret": "',
    "references": "password=x[",
    "beginnings": "s3cret-valu",
    "secrets": "s3cret-value",
    "base64": "czNjcmV0LXZhbH",
    "open ends": "://a:b@c",
    "brackets": "token=a1[",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_time_grows_with_the_text_and_nothing_else(kind: str) -> None:
    redactor = Redactor(["s3cret-value", 'a"\\b"\\c"\\'], environ={})
    piece = HOSTILE[kind]
    half = _quickest(redactor, piece * (30_000 // len(piece)))
    whole = _quickest(redactor, piece * (60_000 // len(piece)))
    assert whole < 3 * half + 0.02


def _quickest(redactor: Redactor, text: str) -> float:
    def once() -> float:
        begin = time.thread_time()
        redactor.text(text)
        return time.thread_time() - begin

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("held", "left"),
    [
        ({"password": "x"}, {"password": REDACTED}),
        ({"password": 12345678}, {"password": REDACTED}),
        (
            {"db": {"Password": ["a", {"b": "c"}], "user": "me"}},
            {"db": {"Password": [REDACTED, {"b": REDACTED}], "user": "me"}},
        ),
        ({"cookies": {"session": "1"}}, {"cookies": {"session": REDACTED}}),
        ({"Authorization": "Basic eA=="}, {"Authorization": REDACTED}),
        ({"api_key": None, "secret": "", "password": False}, {"api_key": None, "secret": "", "password": False}),
        (
            {"access_token": 42, "token": "cat", "max_tokens": 4096},
            {"access_token": 42, "token": "cat", "max_tokens": 4096},
        ),
        ({"key": "0123456789abcdef0123"}, {"key": "0123456789abcdef0123"}),
    ],
)
def test_what_a_dict_holds_under_the_name_of_a_secret_is_hidden(held: dict[str, Any], left: dict[str, Any]) -> None:
    clean = Redactor(environ={}).clean(SpanStart(span="s1", type="tool", name="n", attrs=held))
    assert clean.attrs == left  # type: ignore[attr-defined]
    arguments = Redactor(environ={}).clean(SpanStart(span="s1", type="tool", name="n", input=json.dumps(held)))
    if all(isinstance(value, str) for value in held.values()):
        assert json.loads(arguments.input) == left  # type: ignore[attr-defined]


class Odd:
    """Known to the log by its repr."""

    def __repr__(self) -> str:
        return "Odd(s3cret-value)"


@pytest.mark.parametrize("value", [Odd(), b"s3cret-value", {"s3cret-value"}, ("s3cret-value",)])
def test_a_secret_in_a_value_of_any_type_is_found_as_the_log_writes_it(value: Any) -> None:
    clean = Redactor(["s3cret-value"], environ={}).clean(RunEnd(status="ok", answer=value))
    assert "s3cret" not in encode(clean).decode()
    assert "czNjcmV0" not in encode(clean).decode()


def test_values_of_other_types_stay_what_they_are() -> None:
    answer = {"a": b"data", "b": 1.5, "c": Odd}
    assert Redactor(["s3cret-value"], environ={}).value(answer) == answer


def test_the_password_of_an_address_is_a_secret_of_its_own() -> None:
    environ = {"QUEUE": "amqp://me:p%40ss-w0rd@host/", "SHORT": "amqp://me:pw@host/"}
    redactor = Redactor(environ=environ)
    assert redactor.text("p@ss-w0rd p%40ss-w0rd pw QUEUE") == f"{REDACTED} {REDACTED} pw QUEUE"


def test_a_very_long_secret_is_found_in_pieces() -> None:
    secret = "".join(f"line {number} of a secret. " for number in range(300)).strip()
    clean = Redactor([secret], environ={}).text(f"it is {secret}!")
    assert clean.replace(REDACTED, "") == "it is !"


def _stream(redactor: Redactor, *texts: str) -> list[str]:
    return [redactor.clean(Delta(span="s1", channel="stdout", text=text)).text for text in texts]  # type: ignore[attr-defined]


@given(some.lists(some.integers(0, 40), max_size=6))
def test_a_secret_that_a_stream_cuts_is_hidden_wherever_it_is_cut(cuts: list[int]) -> None:
    text = "one my-own-secret two sk-0123456789abcdefghij three\n"
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    shown = "".join(_stream(Redactor(["my-own-secret"], environ={}), *pieces))
    assert "my-own-secret" not in shown
    assert shown.startswith(f"one {REDACTED} two ")
    if not any(text.index("sk-") < cut < text.index("sk-") + 3 for cut in cuts):
        assert shown == f"one {REDACTED} two {REDACTED} three\n"


def test_only_what_may_begin_a_secret_waits_for_the_rest_of_a_stream() -> None:
    redactor = Redactor(["my-own-secret"], environ={})
    assert _stream(redactor, "50 %", "...", " my", "-own goal", "\n") == ["50 %", "...", " ", "my-own goal", "\n"]
    assert _stream(redactor, "see sk-", "learn\n") == ["see ", "sk-learn\n"]
    assert _stream(redactor, "sk-" + "a" * 9_000)[0].startswith("sk-aaa")


def test_streams_do_not_mix_and_end_with_their_span() -> None:
    redactor = Redactor(["my-own-secret"], environ={})
    _stream(redactor, "my-own-")
    other = redactor.clean(Delta(span="s2", channel="stdout", text="secret"))
    assert other.text == "secret"  # type: ignore[attr-defined]
    redactor.clean(SpanEnd(span="s1", status="ok"))
    assert _stream(redactor, "secret") == ["secret"]
