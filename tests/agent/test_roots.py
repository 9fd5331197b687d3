"""Roots: no way of writing a path leads out of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.agent.roots import OutsideRoots, Roots
from fleet_rlm.core.errors import ContextError, UserError


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for place in (root / "sub", outside):
        place.mkdir(parents=True)
        (place / "file.txt").write_text("x")
    return root, outside


def test_files_inside_are_found_by_relative_and_absolute_path(places: tuple[Path, Path]) -> None:
    root, _ = places
    wanted = (root / "sub/file.txt").resolve()
    for path in ("sub/file.txt", "./sub/../sub/file.txt", str(wanted)):
        assert Roots(root).resolve(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        *("../outside/file.txt", "sub/../../outside/file.txt", "/etc/passwd", "~/x", "/", "..", "link"),
        *("dirlink/file.txt", "/proc/self/root/etc/passwd", "/proc/self/environ", "/proc/self/fd/0"),
        *("/dev/stdin", "/dev/zero", "/sys/kernel"),
    ],
)
def test_every_way_out_is_refused_with_the_roots_and_the_way_in(path: str, places: tuple[Path, Path]) -> None:
    root, outside = places
    (root / "link").symlink_to(outside / "file.txt")
    (root / "dirlink").symlink_to(outside)
    with pytest.raises(OutsideRoots, match="FLEET_ROOTS") as caught:
        Roots(root).resolve(path)
    assert f"the root {root.name};" in str(caught.value)
    assert str(root) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_kernel_only_pretends_to_be_files_is_refused_even_below_the_root_of_everything() -> None:
    for path in ("/proc/self/environ", "/proc/self/mem", "/dev/zero", "/sys/kernel"):
        with pytest.raises(OutsideRoots):
            Roots("/").resolve(path)


def test_a_link_that_stays_inside_is_followed(places: tuple[Path, Path]) -> None:
    root, _ = places
    (root / "again").symlink_to(root / "sub")
    assert Roots(root).resolve("again/file.txt") == (root / "sub/file.txt").resolve()


def test_a_neighbour_whose_name_begins_alike_is_outside(places: tuple[Path, Path]) -> None:
    root, _ = places
    neighbour = root.with_name("root2")
    neighbour.mkdir()
    with pytest.raises(OutsideRoots):
        Roots(root).resolve(str(neighbour))


def test_a_loop_of_links_a_nul_and_what_is_not_there_are_errors_in_words(places: tuple[Path, Path]) -> None:
    root, _ = places
    os.symlink("loop", root / "loop")
    for path, told in (("loop", "cannot be read"), ("a\0b", "NUL"), ("missing", "does not exist")):
        with pytest.raises(ContextError, match=told) as caught:
            Roots(root).resolve(path)
        assert str(root) not in str(caught.value)


def test_several_roots_all_count_and_the_current_directory_is_the_default(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = places
    assert Roots(root, outside).resolve(outside / "file.txt") == (outside / "file.txt").resolve()
    monkeypatch.chdir(outside)
    assert Roots().resolve("file.txt") == (outside / "file.txt").resolve()


def test_a_root_that_is_no_directory_is_told(places: tuple[Path, Path]) -> None:
    root, _ = places
    with pytest.raises(UserError, match="is not a directory"):
        Roots(root / "sub/file.txt")


def test_a_walk_stays_inside_and_out_of_the_home_of_fleet_and_says_what_it_leaves_out(
    tmp_path: Path, fleet_home: Path
) -> None:
    for name in ("a.txt", "b/c.txt", ".git/config", "node_modules/x.js", "fleet-home/runs/key"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "inner").symlink_to(tmp_path / "a.txt")
    (tmp_path / "key").symlink_to(fleet_home / "runs/key")
    (tmp_path / "system").symlink_to("/proc/self/environ")
    (tmp_path / "around").symlink_to(tmp_path)
    skipped: dict[str, str] = {}
    walk = [
        (path.relative_to(tmp_path).as_posix(), real.relative_to(tmp_path.resolve()).as_posix())
        for path, real in Roots(tmp_path).files(tmp_path, skipped.__setitem__)
    ]
    assert walk == [
        ("a.txt", "a.txt"),
        ("inner", "a.txt"),
        ("b/c.txt", "b/c.txt"),
    ]  # as checked, so opened
    assert set(skipped) == {".git", "node_modules", "fleet-home", "around", "key", "system"}


def test_what_is_closed_is_in_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server/users").mkdir(parents=True)
    for name in ("server/users/key", "secret.txt", "open.txt"):
        (tmp_path / name).write_text("x")
    monkeypatch.setenv("FLEET_CLOSED", os.pathsep.join(["", str(tmp_path / "server"), str(tmp_path / "secret.txt")]))
    roots = Roots(tmp_path)
    for name in ("server", "server/users/key", "secret.txt"):
        with pytest.raises(OutsideRoots, match=f"^{name} is closed: "):
            roots.resolve(name)
    with pytest.raises(OutsideRoots, match=r"^/dev/zero is closed: it is the system's"):
        Roots("/").resolve("/dev/zero")
    assert [path for path, _ in roots.files(tmp_path)] == [tmp_path / "open.txt"]
