"""The key of a home: made once, private, never in what it signs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet_rlm.sessions.manifest import Signer
from fleet_rlm.sessions.manifest.envelope import sealed


def test_a_home_has_one_key_that_only_its_user_can_read(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: Signer.of_home(tmp_path).key, range(16)))
    assert len(keys) == 1
    assert (tmp_path / "keys" / "sessions.key").stat().st_mode & 0o777 == 0o600
    assert Signer.of_home(tmp_path / "other").key not in keys


def test_the_key_is_not_in_what_it_signs(tmp_path: Path) -> None:
    signer = Signer.of_home(tmp_path)
    data = sealed(signer, "s-1", 1, None, "2026-01-01T00:00:00+00:00", {})
    assert signer.key not in data
    assert signer.key.hex().encode() not in data
