"""What goes wrong is a typed error with one clear sentence, and what may be tried again is."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_rlm import client as errors
from fleet_rlm.client import BadAddress, Client, NotReached, NotTrusted, Refused, TooMany
from tests.client.saying import Saying

HEALTH = {"ok": True, "version": "1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequest"),
        (401, "NotSignedIn"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (413, "TooLarge"),
        (422, "BadRequest"),
        (424, "Refused"),
        (429, "TooMany"),
        (500, "Unavailable"),
        (503, "Unavailable"),
    ],
)
def test_a_status_is_a_kind_of_error_in_the_servers_words(status: int, kind: str) -> None:
    with Saying(status, {"code": "why", "message": "the sentence"}) as server, Client(server.address) as client:
        with pytest.raises(Refused) as told:
            client.health()
    assert (type(told.value), str(told.value)) == (getattr(errors, kind), "the sentence")
    assert (told.value.status, told.value.code) == (status, "why")
    assert len(server.asked) == 1, "what a server refuses is not asked again"


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    body = {"code": "rate_limited", "message": "too fast"}
    with Saying(429, body, Retry_After="7") as server, Client(server.address) as client:
        with pytest.raises(TooMany) as told:
            client.runs.start("Why?")
    assert told.value.retry_after == 7


def test_a_page_that_is_none_of_ours_is_told() -> None:
    with Saying(404, "<html>") as server, Client(server.address) as client:
        with pytest.raises(Refused, match="answered with 404; is fleet-rlm enabled there"):
            client.health()
    with Saying(200, "<html>") as server, Client(server.address) as client:
        with pytest.raises(NotReached, match="nothing of fleet-rlm's"):
            client.health()


def test_a_read_that_was_lost_is_asked_again_and_a_question_is_not() -> None:
    with Saying(200, HEALTH, hangs_up=2) as server, Client(server.address) as client:
        assert client.health().version == "1"
        assert len(server.asked) == 3
    with Saying(200, HEALTH, hangs_up=1) as server, Client(server.address) as client:
        with pytest.raises(NotReached):
            client.runs.start("Why?")
        assert len(server.asked) == 1, "it may have begun"


def test_a_server_that_takes_too_long_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, timeout=0.2) as client, pytest.raises(NotReached, match="no answer in time"):
            client.health()


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(BadAddress, match="no address of a server"):
        Client(address)


def test_a_name_that_would_be_another_route_and_a_broken_token_are_refused() -> None:
    with Client("http://127.0.0.1:9") as client:
        for name in ("", ".", ".."):
            with pytest.raises(BadAddress, match="the name of nothing"):
                client.runs.get(name)
    with pytest.raises(BadAddress, match="copied with a line end"):
        Client("http://127.0.0.1:9", token="abc\n")


def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    pem, context = certified(tmp_path)
    with Saying(200, HEALTH, tls=context) as server:
        with Client(server.address, token="secret") as client:
            with pytest.raises(NotTrusted, match=r"not trusted .*ca="):
                client.health()
            with pytest.raises(NotTrusted, match="not trusted"):
                next(client.runs.events("r"))
        assert server.asked == []
        with Client(server.address, ca=pem) as client:
            assert client.health().ok
    with pytest.raises(BadAddress, match="holds no certificate"):
        Client("https://127.0.0.1:9", ca=tmp_path / "none.pem")


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "server.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return pem, context
