"""Folding: what is refused again and again is noted, and fills nothing."""

from __future__ import annotations

import asyncio

from fleet_rlm.server.services.folding import FEW, KINDS, OTHERS, Entry, Folding
from fleet_rlm.server.services.owner import Owner

ADA, EVE = Owner("acme", "ada"), Owner("other", "eve")


def denied(owner: Owner = ADA, action: str = "permission_denied", object: str | None = None, **detail: str) -> Entry:
    return Entry(owner, action, object, "denied", {**detail})


def test_the_first_few_are_noted_whole_and_the_others_as_their_number() -> None:
    async def main() -> list[Entry]:
        noted: list[Entry] = []
        folding = Folding(noted.append)
        for number in range(FEW + 100):
            folding.take(denied(object=f"r{number}", code="read"))
        folding.take(denied(EVE, code="read"))
        folding.flush()
        folding.take(denied(code="read"))
        folding.flush()
        return noted

    noted = asyncio.run(main())
    assert [one.object for one in noted[:FEW]] == [f"r{number}" for number in range(FEW)]
    assert noted[FEW:] == [
        denied(EVE, code="read"),
        Entry(ADA, "permission_denied", None, "denied", {"code": "read", "times": 100}),
        denied(code="read"),
    ]


def test_a_tenant_whose_entries_are_all_different_is_bounded_too() -> None:
    async def main() -> list[Entry]:
        noted: list[Entry] = []
        folding = Folding(noted.append)
        for number in range(10 * KINDS):
            folding.take(denied(code="invalid_token", ip=f"192.0.2.{number}"))
        folding.take(denied(EVE))
        folding.flush()
        return noted

    noted = asyncio.run(main())
    assert denied(EVE) in noted
    assert len(noted) <= KINDS + FEW + 2
    folded = [one for one in noted if "times" in one.detail]
    assert folded == [Entry(Owner("acme", OTHERS), "permission_denied", None, "denied", {"times": 9 * KINDS - FEW})]


def test_what_was_folded_is_noted_when_the_window_has_passed() -> None:
    async def main() -> Entry:
        noted: asyncio.Queue[Entry] = asyncio.Queue()
        folding = Folding(noted.put_nowait, window_s=0.05)
        for _ in range(FEW + 2):
            folding.take(denied())
        for _ in range(FEW):
            await noted.get()
        return await asyncio.wait_for(noted.get(), 10)

    assert asyncio.run(main()).detail == {"times": 2}
