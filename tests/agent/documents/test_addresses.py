"""Addresses: what is not public is refused in every form it can be written."""

from __future__ import annotations

import pytest

from fleet_rlm.agent.documents import DocumentError
from fleet_rlm.agent.documents.addresses import FetchRefused, checked, is_public, resolve
from fleet_rlm.core.loop import run_sync

PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *("2001:0:4136:e378:8000:63bf:80ff:fffe", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("ff02::1", "100::1", "2001:db8::1", "5f00::1", "not an address", ""),
    *("::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe", "4000::1", "1::1", "fe00::1"),  # translated (SIIT), never given out
]
PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known_in_every_wrapping(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(FetchRefused, match=r"10\.0\.0\.1.*FLEET_FETCH_ALLOW"):
        run_sync(checked("twofold.example", 80, both))


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_numbers_that_mean_the_loopback_are_resolved_before_they_are_checked(host: str) -> None:
    with pytest.raises(FetchRefused):
        run_sync(checked(host, 80, resolve))


def test_a_host_without_an_address_is_told() -> None:
    async def none(host: str, port: int) -> list[str]:
        return []

    with pytest.raises(DocumentError, match="has no address"):
        run_sync(checked("nowhere.example", 80, none))
    with pytest.raises(DocumentError, match="is not known"):
        run_sync(resolve("a" * 70 + ".invalid", 80))
