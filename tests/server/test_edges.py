"""The strangest requests at a real server below a base URL: each is answered in JSON, and tells no secret."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from fleet_rlm.server.auth.body import BODY_BYTES, DROPPED_BYTES
from fleet_rlm.server.auth.guard import verbs_of
from fleet_rlm.server.routes import ROUTES
from fleet_rlm.server.services.volumes.service import UPLOAD_BYTES
from tests.server.serving import ANSWER_S, TOKEN, Serving

PREFIX = "/team"
API = f"{PREFIX}/fleet/api/v1"
UPLOAD = f"{API}/runtime/volume/file?volume=kept&path=memory/"
DOWNLOAD = f"{API}/runtime/volume/download?volume=kept&path=memory/"
SIGNED_IN = {"Authorization": f"token {TOKEN}"}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The body as the object it is."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def code(self) -> str:
        """Of an error."""
        code: str = self.told.get("error", self.told)["code"]
        return code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that has a volume with a file."""
    settings = {
        "ServerApp.base_url": f"{PREFIX}/",
        "FleetApp.rates": "read=100000",
        "FleetApp.max_sockets_per_user": "8",
    }
    serving = Serving(tmp_path_factory.mktemp("edges"), settings, FLEET_LM="fleet/offline")
    place = serving.home / "volumes" / "kept" / "memory"
    place.mkdir(parents=True)
    (place / "notes.md").write_text("hello")
    with serving as running:
        yield running
        assert "Traceback" not in running.log()


def sent(
    server: Serving, verb: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", **how: Any
) -> Answer:
    """Say exactly that over a connection of its own; `announced=False` says nothing of the body's length."""
    given = {"Host": f"127.0.0.1:{server.port}", **(SIGNED_IN if how.get("signed_in", True) else {}), **(headers or {})}
    if body and how.get("announced", True):
        given["Content-Length"] = str(len(body))
    lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        response = HTTPResponse(connection, method=verb)
        response.begin()
        told = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, told, response.read())
    assert answer.status < 500, answer
    assert TOKEN not in str(answer)
    if answer.status >= 400:
        assert answer.headers.get("content-type") == "application/json", answer
        assert str(server.directory) not in str(answer)
    return answer


def address(pattern: str) -> str:
    """A route's pattern with something in place of its names."""
    return PREFIX + re.sub(r"\(\?P<\w+>[^)]*\)", "none", pattern)


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in ROUTES])
def test_every_verb_on_every_route_is_answered_in_json(server: Serving, pattern: str) -> None:
    handler = dict(ROUTES)[pattern]
    for verb in VERBS:
        for signed_in in (True, False):
            answer = sent(server, verb, address(pattern), signed_in=signed_in)
            known = [*verbs_of(handler), "OPTIONS"]
            if verb not in known and signed_in and "/lm/" not in pattern:
                assert answer.status == 405
                assert answer.headers["allow"] == ", ".join(known)
            if verb != "HEAD" and answer.status >= 400:
                assert answer.code
                assert answer.told.get("error", answer.told)["message"]


@pytest.mark.parametrize(
    "path",
    [
        *("/fleet", "/fleet/", "/fleet/api", "/fleet/api/", "/fleet/api/v2/runs", "/fleet/api/v1/nope"),
        *("/fleet/api/v1/runs/", "/fleet/api/v1/runs%2F", "/fleet/api/v1/RUNS", "/fleet/api/v1/runs/../runs"),
        *("/fleet/api/v1/runs/%00", "/fleet/api/v1/runs/%ff", "/fleet/api/v1/runs/a%2Fb", "/fleet/api/v1//runs"),
        "/fleet/api/v1/auth/ws-ticket",  # comes with Entra
        *("/fleet/api/v1/runs;a=b", "/fleet/api/v1/lm/nope", f"/fleet/{'x' * 60_000}", "/fleet/../../../etc/passwd"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE"])
def test_an_address_that_is_none_is_not_found_in_json(server: Serving, verb: str, path: str) -> None:
    answer = sent(server, verb, PREFIX + path)
    assert (answer.status, answer.code) == (404, "not_found")
    assert "fleet/openapi.json lists those there are" in answer.told["message"]
    stranger = sent(server, verb, PREFIX + path, signed_in=False)
    assert (stranger.status, stranger.code) == (401, "no_credentials")


@pytest.mark.parametrize("given", [{"Authorization": "token wrong"}, {"Authorization": "Bearer wrong"}, None])
def test_a_wrong_token_is_said_to_be_wrong(server: Serving, given: dict[str, str] | None) -> None:
    path = f"{API}/runs" if given else f"{API}/runs?token=wrong"
    answer = sent(server, "GET", path, given, signed_in=False)
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert answer.told["message"].startswith("the token is wrong")
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    nothing = sent(server, "GET", f"{API}/runs", signed_in=False)
    assert (nothing.code, nothing.headers["www-authenticate"]) == ("no_credentials", "Bearer")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("runs?limit=1&limit=2", 400),
        ("runs?limit=%ff", 400),
        ("runs?limit=", 422),
        ("runs?limit=NaN", 422),
        ("runs?limit=1e2", 422),
        ("runs?limit=" + "9" * 5_000, 422),
        ("runs?search=%00", 422),
        ("runs?nope=1", 422),
        ("sessions?search=%00", 422),
        ("sessions?created_after=9999-12-31T23:59:59-23:59", 422),
        ("sessions?created_before=0001-01-01T00:00:00%2B23:59", 422),
        ("sessions?created_after=2026-11-25T20:00:00", 422),
        ("sessions/%ff", 400),
        ("sessions/%00", 400),
        ("sessions/a%2F..%2Fb", 404),
        ("sessions/" + "%E6%97%A5" * 40, 404),
        ("sessions/a%0d%0aX-Evil:1/export", 404),
        ("runtime/volume/tree?volume=kept%0a", 422),
        ("runtime/volume/tree?volume=..", 422),
        ("runtime/volume/tree?volume=kept&path=memory%0d%0a", 400),
    ],
)
def test_what_a_path_or_a_query_cannot_mean_is_refused(server: Serving, path: str, status: int) -> None:
    assert sent(server, "GET", f"{API}/{path}").status == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"null", {}, 422),
        (b'{"message": "a", "budget": true}', {}, 422),
        (b'{"message": "a", "budget": "5"}', {}, 422),
        (b'{"message": 5}', {}, 422),
        (b'{"message": "a", "message": "b"}', {}, 400),
        (b'{"message": "a", "timeout": NaN}', {}, 400),
        (b'{"message": "a", "timeout": 1e999}', {}, 400),
        (b'{"message": "\xff"}', {}, 422),
        (b'{"message": "\\ud800"}', {}, 422),
        (b'{"message": "a", "budget": ' + b"9" * 5_000 + b"}", {}, 422),
        (b"[" * 100_000, {}, 422),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, {}, 422),
        ('{"message": "a"}'.encode("utf-16"), {}, 422),
        (b"message=a", {"Content-Type": "application/x-www-form-urlencoded"}, 422),
        (b"x", {"Content-Type": "multipart/form-data"}, 422),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    server: Serving, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert sent(server, "POST", f"{API}/runs", headers, body).status == status


@pytest.mark.parametrize(
    ("verb", "path", "most"), [("POST", f"{API}/runs", BODY_BYTES), ("PUT", f"{UPLOAD}large", UPLOAD_BYTES)]
)
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_cap_is_too_large_and_the_cap_is_told(
    server: Serving, verb: str, path: str, most: int, announced: bool
) -> None:
    body = b"x" * (most + 1)
    headers = {} if announced else {"Transfer-Encoding": "chunked"}
    framed = body if announced else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    answer = sent(server, verb, path, headers, framed, announced=announced)
    assert (answer.status, answer.code) == (413, "too_large")
    assert f"{most:,} bytes here ({most >> 20} MiB)" in answer.told["message"]


def test_a_body_in_chunks_is_read_as_any_other(server: Serving) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    body = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    assert sent(server, "PUT", f"{UPLOAD}chunked", chunked, body, announced=False).status == 201
    assert sent(server, "GET", f"{DOWNLOAD}chunked").body == b"hello"


def test_a_client_that_waits_is_refused_before_it_sends_its_body(server: Serving) -> None:
    waiting = {"Expect": "100-continue", "Content-Length": "1000"}
    assert sent(server, "POST", f"{API}/runs", waiting, signed_in=False).status == 401
    too_large = {"Expect": "100-continue", "Content-Length": str(BODY_BYTES + 1)}
    assert sent(server, "POST", f"{API}/runs", too_large).status == 413


@pytest.mark.parametrize("path", [f"{API}/runs", f"{UPLOAD}x", f"{API}/lm/chat/completions", f"{API}/ws/execution"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_stranger_fills_no_memory(server: Serving, path: str, announced: bool) -> None:
    """However it is told how long the body is, and although all that can be sent is sent."""
    before = server.memory()
    length = f"Content-Length: {DROPPED_BYTES}" if announced else "Transfer-Encoding: chunked"
    verb = "GET" if path.endswith("execution") else "PUT" if "volume" in path else "POST"
    head = f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{length}\r\n\r\n".encode()
    piece = b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", server.port), 30) as stranger:
        stranger.sendall(head)
        for _ in range(DROPPED_BYTES // len(piece) - 1):
            stranger.sendall(piece if announced else b"%x\r\n%b\r\n" % (len(piece), piece))
        assert server.memory() - before < 24 << 20
        stranger.sendall(piece if announced else b"0\r\n\r\n")
        assert stranger.recv(1_000).startswith(b"HTTP/1.1 401 ")


def test_a_connection_outlives_what_is_refused_on_it(server: Serving) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    asked = [
        ("GET", f"{API}/nope", {**SIGNED_IN}, None, 404),
        ("GET", f"{API}/runs", {}, None, 401),
        ("POST", f"{API}/runs", {}, b"{}", 401),
        ("POST", f"{API}/runs", SIGNED_IN, b"{", 422),
        ("POST", f"{API}/runs", SIGNED_IN, b"x" * (2 << 20), 413),
        ("DELETE", f"{API}/runs", SIGNED_IN, None, 405),
        ("GET", f"{API}/ws/execution", SIGNED_IN, None, 426),
        ("GET", f"{API}/runs", SIGNED_IN, None, 200),
    ]
    connection.connect()
    kept = connection.sock
    for verb, path, headers, body, status in asked:
        connection.request(verb, path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock is kept
    connection.request("BREW", f"{API}/runs", None, SIGNED_IN)
    assert connection.getresponse().headers["Connection"] == "close"
    connection.close()


def test_more_than_anybody_may_send_is_not_even_read(server: Serving) -> None:
    huge = {"Content-Length": str(DROPPED_BYTES + 1)}
    assert sent(server, "POST", f"{API}/runs", huge, signed_in=False).status == 401
    assert sent(server, "PUT", f"{UPLOAD}huge", huge).status == 413


def test_an_upload_is_the_file_itself_and_no_form(server: Serving) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = sent(server, "PUT", f"{UPLOAD}form", form, b"--x--")
    assert (answer.status, answer.code) == (415, "unsupported_body")


def test_a_name_with_line_ends_is_refused_in_one_sentence(server: Serving) -> None:
    for name in ("a%0d%0aX-Evil:%201", "a%0ab", "a%7fb", "a%c2%85b", "a%00b"):
        answer = sent(server, "PUT", f"{UPLOAD}{name}", {}, b"x")
        assert answer.status == 400
        assert "holds a line end or another control character" in answer.told["message"]


def test_a_name_of_any_alphabet_is_saved_under_itself(server: Serving) -> None:
    name = "Gr%C3%B6%C3%9Fe%22%20%E6%97%A5.txt"
    assert sent(server, "PUT", f"{UPLOAD}{name}", {}, b"x").status == 201
    answer = sent(server, "GET", f"{DOWNLOAD}{name}")
    assert answer.headers["content-disposition"] == f"attachment; filename=\"Gr__e___.txt\"; filename*=UTF-8''{name}"


@pytest.mark.parametrize(
    "headers",
    [{"Range": "bytes=1-2"}, {"Range": "bytes=9-1,a"}, {"If-None-Match": "*"}, {"If-Modified-Since": "never"}],
)
def test_conditions_and_ranges_of_a_file_that_may_change_are_answered_with_all_of_it(
    server: Serving, headers: dict[str, str]
) -> None:
    answer = sent(server, "GET", f"{DOWNLOAD}notes.md", headers)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize("changed", ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
@pytest.mark.parametrize("path", ["ws/execution", "ws/execution/events?run=x"])
def test_what_opens_no_websocket_is_told_how(server: Serving, path: str, changed: str) -> None:
    good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AA==", "Sec-WebSocket-Version": "13"}
    for value in ("", "8"):
        answer = sent(server, "GET", f"{API}/{path}", {**good, changed: value})
        if (changed, value) == ("Sec-WebSocket-Key", "8"):  # the client's own business
            assert answer.status == 101
        else:
            assert (answer.status, answer.code) == (426, "upgrade_required")
            assert (answer.headers["upgrade"], answer.headers["sec-websocket-version"]) == ("websocket", "13")


def test_one_user_has_as_many_websockets_as_the_server_allows(server: Serving) -> None:
    shaken = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AA==",
        "Sec-WebSocket-Version": "13",
    }
    with contextlib.ExitStack() as held:
        with contextlib.suppress(InvalidStatus):
            for _ in range(9):
                held.enter_context(server.connected("ws/execution"))
            pytest.fail("there is no end to them")
        refused = sent(server, "GET", f"{API}/ws/execution/events?run=x", shaken)
        assert (refused.status, refused.code) == (429, "too_many")
        assert refused.told["message"] == "one user may have 8 WebSockets open here; close one that is not needed"
        assert sent(server, "GET", f"{API}/runs").status == 200
    until = time.monotonic() + ANSWER_S
    while sent(server, "GET", f"{API}/ws/execution", shaken).status != 101:
        assert time.monotonic() < until
        time.sleep(0.02)  # nothing tells when the server has noticed that they are closed


def test_a_page_that_does_not_prove_its_request_is_told_how(server: Serving) -> None:
    signed_in = sent(server, "GET", f"{PREFIX}/api/status?token={TOKEN}", signed_in=False)
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    assert sent(server, "GET", f"{API}/runs", cookie, signed_in=False).status == 200
    for more in ({}, {"X-XSRFToken": "guessed"}, {"Content-Type": "text/plain"}):
        answer = sent(server, "POST", f"{API}/runs", {**cookie, **more}, b"{}", signed_in=False)
        assert (answer.status, answer.code) == (403, "permission_denied")
        assert "as the header X-XSRFToken" in answer.told["message"]


@pytest.mark.parametrize("origin", ["https://stranger.example", "null", "://", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_told_so_in_json(server: Serving, origin: str) -> None:
    shaken = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AA==",
        "Sec-WebSocket-Version": "13",
    }
    for path in ("ws/execution", "ws/execution/events?run=x"):
        answer = sent(server, "GET", f"{API}/{path}", {**shaken, "Origin": origin})
        assert (answer.status, answer.code) == (403, "origin_forbidden")
        assert "ServerApp.allow_origin" in answer.told["message"]


@pytest.mark.parametrize("path", ["sessions/%ff", "sessions/a%C3", "sessions/a%00", "runs?token=s3cret%ff"])
def test_what_is_no_text_is_said_to_be_none_and_not_shown(server: Serving, path: str) -> None:
    answer = sent(server, "GET", f"{API}/{path}", signed_in="token" not in path)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert answer.told["message"].endswith("is no text here: write it as UTF-8, percent-encoded, without NUL")


def test_a_host_that_is_not_ours_is_refused_in_json(server: Serving) -> None:
    answer = sent(server, "GET", f"{API}/runs", {"Host": "evil.example"})
    assert (answer.status, answer.code) == (403, "permission_denied")


def test_an_id_of_a_request_that_could_forge_the_log_is_replaced(server: Serving) -> None:
    assert sent(server, "GET", f"{API}/nope", {"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert re.fullmatch(
        "[0-9a-f]{16}", sent(server, "GET", f"{API}/nope", {"X-Request-Id": "a b"}).headers["x-request-id"]
    )
