"""Where a server cannot be is said before it tries, with what would do."""

from __future__ import annotations

import pytest

from fleet_rlm.core.errors import UserError
from fleet_rlm.server.address import check_address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
@pytest.mark.parametrize("port", [0, 8000, 65_535])
@pytest.mark.parametrize("base_url", ["/", "", "team", "/team/", "/user/ada@example.org/lab-1"])
def test_a_server_can_be_at_an_address_of_this_machine(host: str, port: int, base_url: str) -> None:
    check_address(host, port, base_url)


@pytest.mark.parametrize(
    ("host", "port", "base_url", "sentence"),
    [
        ("127.0.0.1", -1, "/", "--port is a number from 0, which takes a free one, to 65535, and not -1"),
        ("127.0.0.1", 65_536, "/", "--port is a number from 0, which takes a free one, to 65535, and not 65536"),
        ("x" * 300, 0, "/", f"--host {'x' * 300} is no name or address of this machine"),
        ("192.0.2.1", 0, "/", "--host 192.0.2.1 is no name or address of this machine"),
        *(
            ("127.0.0.1", 0, base_url, f"--base-url is a path such as /team, and not {base_url}")
            for base_url in ("/a b", "/a/../b", "/./a", "/a?b", "/a#b", "http://127.0.0.1/", "/(a|b)", "/a%2Fb", "/日")
        ),
    ],
)
def test_where_it_cannot_be_is_said_with_what_would_do(host: str, port: int, base_url: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        check_address(host, port, base_url)
    assert str(raised.value).startswith(sentence)
