"""The gateway as kernels and strangers meet it, against a provider behind HTTP."""

from __future__ import annotations

import contextlib

import httpx
import openai
import pytest

from tests.server.services.conftest import KEY, Model
from tests.server.serving import TOKEN, Serving


@pytest.fixture(scope="module")
def token(server: Serving) -> str:
    """The token of a real kernel, taken from its environment."""
    with server.drive() as talk:
        talk.ask("What?", session_id="gateway", execution_mode="direct")
        talk.until("ended")
    return server.environment_of(server.kernel_of("gateway"))["OPENAI_API_KEY"]


@pytest.fixture
def fresh(server: Serving, token: str) -> openai.OpenAI:
    """OpenAI's own client in the place of that kernel, whose run may make five calls."""
    server.post("runs", message="Once more", session="gateway", mode="direct", budget=5)
    run = server.get("runs", session="gateway", limit=1)["items"][0]["id"]
    server.finished(run)
    return openai.OpenAI(api_key=token, base_url=server.base + "lm", max_retries=0)


ASK = {"model": "twin", "messages": [{"role": "user", "content": "plainly"}]}
BROKEN_OFF = {"role": "user", "content": "broken off"}


def test_a_run_reaches_its_model_by_the_servers_key_only(server: Serving, model: Model, token: str) -> None:
    sent = model.server.requests[-1]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert token not in str(sent.headers)


def test_openais_client_works_whole_and_streamed(fresh: openai.OpenAI) -> None:
    assert [one.id for one in fresh.models.list()] == ["twin"]
    whole = fresh.chat.completions.create(**ASK)
    assert whole.choices[0].message.content == "plain"
    pieces = list(fresh.chat.completions.create(**ASK, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in pieces if one.choices) == "plain"


def test_the_budget_of_the_run_holds_for_whoever_has_its_token(fresh: openai.OpenAI, model: Model) -> None:
    for _ in range(4):  # the run itself made one of its five
        fresh.chat.completions.create(**ASK)
    before = model.server.calls
    with pytest.raises(openai.PermissionDeniedError) as refused:
        fresh.chat.completions.create(**ASK)
    assert refused.value.code == "budget_exhausted"
    assert model.server.calls == before


def test_calls_at_once_do_not_pass_the_budget(fresh: openai.OpenAI, model: Model, server: Serving, token: str) -> None:
    gate = model.gate("at once")
    with httpx.Client(base_url=server.base, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as one:
        asked = {"model": "twin", "messages": [{"role": "user", "content": "at once"}]}
        from concurrent.futures import ThreadPoolExecutor

        before = model.asked("at once")
        with ThreadPoolExecutor(9) as pool:
            answers = [pool.submit(one.post, "lm/chat/completions", json=asked) for _ in range(9)]
            model.server.wait_for(model.server.calls - (model.asked("at once") - before) + 4)
            gate.open()
            statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [200] * 4 + [403] * 5


def test_a_start_that_is_refused_gives_the_run_that_goes_on_no_calls(
    server: Serving, model: Model, fresh: openai.OpenAI
) -> None:
    gate, before = model.gate("one call of two"), model.server.calls
    run = server.post("runs", message="one call of two", session="gateway", mode="direct", budget=2)["run"]
    model.server.wait_for(before + 1)
    refused = server.post("runs", 409, message="More?", session="gateway", mode="direct", budget=50)
    assert refused["code"] == "session_busy"
    fresh.chat.completions.create(**ASK)
    with pytest.raises(openai.PermissionDeniedError):
        fresh.chat.completions.create(**ASK)
    gate.open()
    assert server.finished(run)["status"] == "ok"


def test_a_model_that_is_not_allowed_is_not_called(fresh: openai.OpenAI, model: Model) -> None:
    before = model.server.calls
    with pytest.raises(openai.NotFoundError) as refused:
        fresh.chat.completions.create(model="gpt-99", messages=[])
    assert refused.value.code == "model_not_found"
    assert model.server.calls == before


@pytest.mark.parametrize("bearer", ["fleet-lm-made-up", TOKEN, ""])
def test_nobody_without_a_kernels_token_gets_in(server: Serving, model: Model, bearer: str) -> None:
    before = model.server.calls
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    for method, path in (("POST", "lm/chat/completions"), ("GET", "lm/models")):
        answer = httpx.request(method, server.base + path, headers=headers, json=ASK, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert model.server.calls == before


def test_a_kernels_token_opens_nothing_else(server: Serving, token: str) -> None:
    for path in (server.base + "runs", f"{server.origin}/api/kernels"):
        assert httpx.get(path, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code in (401, 403)


def test_the_token_ends_with_its_kernel(server: Serving) -> None:
    with server.drive() as talk:
        talk.ask("What?", session_id="short-lived", execution_mode="direct")
        talk.until("ended")
    kernel = server.kernel_id_of("short-lived")
    token = server.environment_of(server.kernel_of("short-lived"))["OPENAI_API_KEY"]
    server.client.delete(f"{server.origin}/api/kernels/{kernel}").raise_for_status()
    server.until_refused(token)


def test_a_kernel_that_hangs_up_ends_the_call(server: Serving, model: Model, fresh: openai.OpenAI) -> None:
    model.gate("hanging up")
    asked = {"model": "twin", "messages": [{"role": "user", "content": "hanging up"}]}
    with pytest.raises(openai.APITimeoutError):
        fresh.with_options(timeout=0.5).chat.completions.create(**asked)
    model.server.wait_idle()
    assert [one.outcome for one in model.server.requests if "hanging up" in one.text] == ["cancelled"]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_whoever_hangs_up_pays_all_the_same_and_is_no_error(
    server: Serving, fresh: openai.OpenAI, token: str, is_streamed: bool
) -> None:
    asked = {**ASK, "stream": is_streamed}
    if not is_streamed:
        asked["messages"] = [{"role": "user", "content": "hanging up"}]
    for _ in range(4):  # the run itself made one of its five
        bearer = {"Authorization": f"Bearer {token}"}
        with (
            contextlib.suppress(httpx.ReadTimeout),
            httpx.Client(base_url=server.base, headers=bearer, timeout=0.5, trust_env=False) as one,
            one.stream("POST", "lm/chat/completions", json=asked) as answer,
        ):
            next(answer.iter_bytes())
    with pytest.raises(openai.PermissionDeniedError) as refused:
        fresh.chat.completions.create(**ASK)
    assert refused.value.code == "budget_exhausted"
    assert "Cannot send error response" not in server.log()


@pytest.mark.parametrize("field", ["models", "fallbacks", "provider", "api_base", "api_key"])
def test_no_field_of_a_router_chooses_another_model_or_place(fresh: openai.OpenAI, model: Model, field: str) -> None:
    before = model.server.calls
    with pytest.raises(openai.BadRequestError, match=field):
        fresh.chat.completions.create(**ASK, extra_body={field: ["another"]})
    assert model.server.calls == before


def test_a_stream_that_the_provider_breaks_off_is_not_taken_for_a_whole_answer(
    server: Serving, fresh: openai.OpenAI
) -> None:
    pieces = fresh.chat.completions.create(**{**ASK, "messages": [BROKEN_OFF]}, stream=True)
    with pytest.raises(openai.APIConnectionError):
        list(pieces)
    assert "the provider broke off (RemoteProtocolError)" in server.log()
    assert "Cannot send error response" not in server.log()


def test_half_of_a_pair_of_signs_goes_to_the_provider_as_it_came(
    fresh: openai.OpenAI, token: str, server: Serving, model: Model
) -> None:
    body = rb'{"model": "twin", "messages": [{"role": "user", "content": "half \ud83d"}]}'
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = httpx.post(server.base + "lm/chat/completions", headers=headers, content=body, trust_env=False)
    assert answer.status_code == 200
    assert model.server.requests[-1].text == "half \ud83d"


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(server: Serving, token: str, number: bytes) -> None:
    body = b'{"model": "twin", "messages": [], "temperature": %s}' % number
    answer = httpx.post(
        server.base + "lm/chat/completions", headers={"Authorization": f"Bearer {token}"}, content=body, trust_env=False
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "twin"}', b'{"model": "twin", "messages": [], "n": 2}'])
def test_a_body_that_is_none_is_refused(server: Serving, token: str, body: bytes) -> None:
    answer = httpx.post(
        server.base + "lm/chat/completions", headers={"Authorization": f"Bearer {token}"}, content=body, trust_env=False
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_neither_keys_nor_content_are_logged(server: Serving, fresh: openai.OpenAI, token: str) -> None:
    fresh.chat.completions.create(model="twin", messages=[{"role": "user", "content": "a word called ocelot"}])
    logged = server.log()
    assert not [word for word in (KEY, token, "ocelot") if word in logged]
