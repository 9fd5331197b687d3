"""Repositories: any ref, from a root or a checked host, and nothing of them is ever run or followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_rlm.agent.documents import DocumentError, directory
from fleet_rlm.agent.documents import repository as module
from fleet_rlm.agent.documents.addresses import FetchRefused
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.repository import repository_folder
from fleet_rlm.agent.roots import OutsideRoots, Roots
from fleet_rlm.core.errors import ContextError
from fleet_rlm.core.loop import run_sync
from tests.agent.documents.repositories import git, repository, serving_git
from tests.agent.documents.web import Names

SECOND = "=== README.md ===\n# two\n\n\n=== src/a.py ===\nprint('two')\n\n\n"


def text_of(url: str, ref: str = "", *, root: Path, fetcher: Fetcher | None = None) -> tuple[str, str]:
    folder, commit = run_sync(repository_folder(url, ref, Roots(root), fetcher or Fetcher(resolver=Names())))
    with folder.text as text:
        text.seek(0)
        return text.read().decode(), commit


def test_every_kind_of_ref_gives_its_commit(tmp_path: Path) -> None:
    place, first, second = repository(tmp_path / "repo")
    for ref in ("", "dev", "main", "refs/heads/dev", second):
        assert text_of(str(place), ref, root=tmp_path) == (SECOND, second)
    for ref in ("v1", first, first[:9], "refs/tags/v1"):
        assert text_of("repo", ref, root=tmp_path) == (SECOND.replace("two", "one"), first)


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("nope", "cannot be fetched at 'nope'"),
        ("abcdef0", "has no branch, tag or commit 'abcdef0'"),
        *((ref, "no name of a branch") for ref in ("--upload-pack=id", "a:b", "a..b", "HEAD@{1}", "a b", "^a", "-x")),
    ],
)
def test_a_ref_that_is_none_is_one_sentence(ref: str, told: str, tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    with pytest.raises(DocumentError, match=told) as caught:
        text_of("repo", ref, root=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("ext::sh -c touch% /tmp/pwned", "ssh://host.example/x", "git@host.example:a/b", "host.example:a/b"),
        *("file:///etc", "git://host.example/x", "http://host.example/x", "ftp://host.example/x", "fd::17"),
        *("https://127.0.0.1/x", "https://169.254.169.254/x", "https://[::1]/x", "https://user:pass@host.example/x"),
    ],
)
def test_other_protocols_and_private_hosts_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchRefused):
        text_of(url, root=tmp_path)


def test_a_path_outside_of_the_roots_is_refused(tmp_path: Path) -> None:
    place, _, _ = repository(tmp_path / "outside")
    (tmp_path / "root").mkdir()
    for path in (str(place), "../outside"):
        with pytest.raises(OutsideRoots):
            text_of(path, root=tmp_path / "root")
    with pytest.raises(ContextError, match="does not exist"):
        text_of("--upload-pack=id", root=tmp_path / "root")


def test_git_connects_to_the_address_that_was_checked_and_asks_by_name(tmp_path: Path) -> None:
    _, first, second = repository(tmp_path / "repo")
    with serving_git(tmp_path) as served:
        host = f"code.example:{served.port}"
        fetcher = Fetcher(allow=[host], resolver=Names(code_example=[["127.0.0.1"]]))
        url = f"http://{host}/repo/.git"
        assert text_of(url, root=tmp_path, fetcher=fetcher) == (SECOND, second)
        assert text_of(url, first[:10], root=tmp_path, fetcher=fetcher)[1] == first
        assert set(served.hosts) == {host}


def test_a_redirect_of_the_server_is_not_followed(tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    with serving_git(tmp_path) as inner, serving_git(tmp_path, f"http://127.0.0.1:{inner.port}") as served:
        host = f"code.example:{served.port}"
        fetcher = Fetcher(allow=[host], resolver=Names(code_example=[["127.0.0.1"]]))
        with pytest.raises(DocumentError, match="cannot be fetched"):
            text_of(f"http://{host}/repo/.git", root=tmp_path, fetcher=fetcher)
        assert inner.hosts == []


def test_hooks_filters_links_and_submodules_do_nothing(tmp_path: Path) -> None:
    place, _, _ = repository(tmp_path / "repo")
    mark = tmp_path / "ran"
    (place / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    for name in ("post-checkout", "post-merge", "pre-auto-gc", "reference-transaction"):
        hook = place / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    with (place / ".git/config").open("a") as config:
        config.write(f'[filter "evil"]\n\tsmudge = touch {mark}\n[core]\n\tfsmonitor = touch {mark}\n')
    os.symlink("/etc/passwd", place / "link")
    (place / "binary").write_bytes(b"\0\1")
    git(place, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "add", ".")
    git(place, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "commit", "-qm", "evil")
    mark.unlink(missing_ok=True)
    folder, _ = run_sync(repository_folder("repo", "", Roots(tmp_path), Fetcher()))
    assert {path for path, _, _ in folder.files} == {".gitattributes", "README.md", "src/a.py"}
    assert folder.skipped == {"link": "a symbolic link", "binary": "a binary file"}
    assert not mark.exists()


def test_a_tree_that_unfolds_without_end_is_stopped(tmp_path: Path) -> None:
    """Ten levels of ten times the same tree: ten billion files in a few hundred bytes."""
    place, _, _ = repository(tmp_path / "repo")
    kind, entry = "100644 blob", git(place, "hash-object", "-w", "--stdin", data=b"x")
    for _ in range(10):
        tree = "".join(f"{kind} {entry}\t{number}\n" for number in range(10)).encode()
        kind, entry = "040000 tree", git(place, "mktree", data=tree)
    git(place, "update-ref", "refs/heads/bomb", git(place, "commit-tree", entry, "-m", "bomb"))
    with pytest.raises(DocumentError, match=r"more than 20,000 files"):
        text_of("repo", "bomb", root=tmp_path)


def test_too_large_a_pack_or_too_much_text_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, _ = repository(tmp_path / "repo")
    (place / "noise").write_text(os.urandom(400_000).hex())
    git(place, "add", ".")
    git(place, "commit", "-qm", "noise")
    monkeypatch.setattr(directory, "TOTAL", 100_000)
    with pytest.raises(DocumentError, match="holds more than"):
        text_of("repo", root=tmp_path)
    monkeypatch.setattr(module, "BOUNDED", 'ulimit -f 100 && exec "$@"')
    with pytest.raises(DocumentError, match="cannot be fetched: it is larger than 300 MB"):
        text_of("repo", root=tmp_path)


def test_a_repository_without_text_and_what_is_no_repository_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DocumentError, match="does not appear to be a git repository"):
        text_of("empty", root=tmp_path)
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(DocumentError, match="cannot be fetched"):
        text_of("empty", root=tmp_path)


def test_no_secret_of_the_environment_reaches_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = tmp_path / "environment"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nenv > {shown}\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch pwned")
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    repository_place = tmp_path / "repo"
    repository_place.mkdir()
    with pytest.raises(DocumentError):
        text_of("repo", root=tmp_path)
    assert "sk-canary" not in shown.read_text()
    assert "GIT_SSH_COMMAND" not in shown.read_text()
