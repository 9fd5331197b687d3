"""Fetching: nothing private is ever connected to, and what is fetched is bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents.addresses import FetchRefused
from fleet_rlm.agent.documents.fetch import Fetcher, FetchLimits
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.web import PAGE, Names, Nowhere, serving, signed_for

LOCAL = ["127.0.0.1"]
PUBLIC = ["93.184.215.14"]


def content(fetcher: Fetcher, url: str) -> bytes:
    async def fetch() -> bytes:
        with (await fetcher.fetch(url)).file as file:
            return file.read()

    return run_sync(fetch())


def test_an_allowed_host_is_fetched_from_under_its_own_name() -> None:
    with serving() as web:
        names = Names(wiki_example=[LOCAL])
        fetcher = Fetcher(allow=[f"wiki.example:{web.port}"], resolver=names)
        assert content(fetcher, f"http://wiki.example:{web.port}/page") == PAGE
        assert content(fetcher, f"http://Wiki.Example:{web.port}/plain#part") == b"plain text"
        assert web.hosts == [f"wiki.example:{web.port}", f"Wiki.Example:{web.port}"]
        assert {"Cookie", "Authorization"}.isdisjoint(web.headers[0])


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "localhost", "0.0.0.0"),
        *("169.254.169.254", "[64:ff9b::a9fe:a9fe]", "168.63.129.16", "100.64.0.1", "[2002:7f00:1::]", "[fec0::1]"),
        *("[64:ff9b::7f00:1]", "[::]", "[fe80::1]", "[fd00:ec2::254]"),
    ],
)
def test_private_hosts_are_refused_however_they_are_written(host: str) -> None:
    for scheme in ("http", "https"):
        network = Nowhere()
        with pytest.raises(FetchRefused):
            content(Fetcher(network=network), f"{scheme}://{host}/latest/meta-data/")
        assert network.asked == []


def test_a_name_that_turns_private_after_the_check_gains_nothing() -> None:
    """Each connection resolves once, and connects to what it checked."""
    names, network = Names(rebind_example=[PUBLIC, LOCAL]), Nowhere()
    fetcher = Fetcher(resolver=names, network=network)
    with pytest.raises(DocumentError, match="ConnectError"):
        content(fetcher, "https://rebind.example/page")
    assert (names.asked, network.asked) == (["rebind.example"], [(PUBLIC[0], 443)])
    with pytest.raises(FetchRefused, match=r"127\.0\.0\.1"):
        content(fetcher, "https://rebind.example/page")
    assert len(network.asked) == 1


def test_no_connection_is_made_while_one_address_of_the_name_is_private() -> None:
    network = Nowhere()
    with pytest.raises(FetchRefused):
        content(Fetcher(resolver=Names(twofold_example=[PUBLIC + LOCAL]), network=network), "http://twofold.example/")
    assert network.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://inner.example/secret",
        "http://127.0.0.1/secret",
        "http://[::1]/",
        "//inner.example/x",
        "file:///etc/passwd",
        *("https://169.254.169.254/", "http://user:pass@inner.example/", "gopher://inner.example/"),
    ],
)
def test_a_redirect_is_checked_like_the_first_address(target: str) -> None:
    with serving() as web:
        names = Names(outer_example=[LOCAL], inner_example=[LOCAL])
        fetcher = Fetcher(allow=[f"outer.example:{web.port}"], resolver=names)
        with pytest.raises(FetchRefused):
            content(fetcher, f"http://outer.example:{web.port}/to?{target}")
        assert len(web.asked) == 1


def test_a_redirect_to_another_port_of_an_allowed_host_is_refused() -> None:
    with serving() as web, serving() as other:
        fetcher = Fetcher(allow=[f"outer.example:{web.port}"], resolver=Names(outer_example=[LOCAL]))
        with pytest.raises(FetchRefused, match=f"port {other.port}"):
            content(fetcher, f"http://outer.example:{web.port}/to?http://outer.example:{other.port}/page")
        assert other.asked == []


def test_redirects_inside_what_is_allowed_are_followed_so_often() -> None:
    with serving() as web:
        fetcher = Fetcher(allow=["wiki.example"], resolver=Names(wiki_example=[LOCAL]))
        base = f"http://wiki.example:{web.port}"
        assert content(fetcher, f"{base}/to?/page") == PAGE
        with pytest.raises(DocumentError, match="redirects more than 5 times"):
            content(fetcher, f"{base}/loop")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/missing", "status 404"),
        ("/big?2000", "larger than the 1,000 bytes"),
        ("/bomb?50000000", "larger than the 1,000 bytes"),
        ("/broken", "broke off"),
        ("/slow", "did not answer in full within 1 s"),
    ],
)
def test_what_is_too_much_too_slow_or_broken_is_one_sentence(path: str, told: str) -> None:
    with serving() as web:
        limits = FetchLimits(bytes=1_000, seconds=1)
        fetcher = Fetcher(allow=["wiki.example"], resolver=Names(wiki_example=[LOCAL]), limits=limits)
        begun = time.perf_counter()
        with pytest.raises(DocumentError, match=told) as caught:
            content(fetcher, f"http://wiki.example:{web.port}{path}")
        assert time.perf_counter() - begun < 5
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://wiki.example/x",
        "http://",
        "http://[",
        "http://wiki.example:99999/",
        "http://wiki.example/a b",
        "http:///x",
        *("http://user:pass@wiki.example/", "http://wiki.example:22/", "http://wiki.example/\r\nHost: inner"),
    ],
)
def test_a_url_that_is_none_or_may_not_be_asked_for_is_refused_before_any_name_is_resolved(url: str) -> None:
    names = Names(wiki_example=[PUBLIC])
    with pytest.raises(DocumentError):
        content(Fetcher(resolver=names), url)
    assert names.asked == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as web, serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetcher = Fetcher(allow=["wiki.example"], resolver=Names(wiki_example=[LOCAL]))
        assert content(fetcher, f"http://wiki.example:{web.port}/page") == PAGE
        assert proxy.asked == []


def test_a_password_in_a_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(FetchRefused) as caught:
        content(Fetcher(), "http://user:hunter2@wiki.example/")
    assert "hunter2" not in str(caught.value)


def test_tls_is_spoken_with_the_checked_address_in_the_name_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = signed_for("wiki.example", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tls=(certificate, key)) as web:
        names = Names(wiki_example=[LOCAL], other_example=[LOCAL])
        fetcher = Fetcher(allow=["wiki.example", "other.example"], resolver=names)
        assert content(fetcher, f"https://wiki.example:{web.port}/page") == PAGE
        assert (web.named, web.hosts) == (["wiki.example"], [f"wiki.example:{web.port}"])
        with pytest.raises(DocumentError, match="certificate"):
            content(fetcher, f"https://other.example:{web.port}/page")
        assert len(web.hosts) == 1
