"""Which addresses are public: all others are refused, however they are written or wrapped.

`ipaddress.is_global` lets NAT64, 6to4, multicast, fec0::/10 and the Azure host agent pass, so this has a list of its
own, and looks into every IPv6 form that carries an IPv4 address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

from fleet_rlm.agent.documents.errors import DocumentError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to its addresses."""

DENIED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
"""Private, shared, local, reserved, documentation, multicast, and what clouds answer metadata on."""

UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that was given out for the public Internet; what lies elsewhere is local, wraps another, or is unused."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchRefused(DocumentError):
    """A URL that may not be fetched."""


def is_public(text: str) -> bool:
    """Whether an address, and every address it wraps, is one of the public Internet."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_given_out(one) and not any(one in network for network in DENIED) for one in _forms(address))


def _is_given_out(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv4Address) or address in UNICAST


def _forms(address: Address) -> Iterator[Address]:
    """The address, or what it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    mapped, sixtofour, teredo = address.ipv4_mapped, address.sixtofour, address.teredo
    if mapped is not None:
        yield mapped
    elif sixtofour is not None:
        yield sixtofour
    elif teredo is not None:
        yield from teredo
    elif address in NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        DocumentError: it has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DocumentError(f"the host {host!r} is not known ({error})") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked(host: str, port: int, resolver: Resolver) -> list[str]:
    """The addresses of a host, after every one of them was found to be public.

    Raises:
        FetchRefused: one is not.
        DocumentError: there is none.
    """
    addresses = list(await resolver(host, port))
    if not addresses:
        raise DocumentError(f"the host {host!r} has no address")
    for address in addresses:
        if not is_public(address):
            raise FetchRefused(
                f"{host} is not on the public Internet ({address}), and private hosts are not fetched from; the user "
                "can allow it by FLEET_FETCH_ALLOW, or save the page as a file and load that"
            )
    return addresses
