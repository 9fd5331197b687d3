"""Git repositories as documents: one commit's files, read from the object database without ever checking them out.

Nothing of the repository is run or written to disk as a file: no hooks, no filters, no submodules, no links. Over the
network only https, to an address that was checked and is pinned, with no credentials, no proxy and no redirects; a path
must lie inside the roots.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fleet_rlm.agent.documents.addresses import FetchRefused
from fleet_rlm.agent.documents.directory import FILES, check_size
from fleet_rlm.agent.documents.errors import DocumentError
from fleet_rlm.agent.documents.fetch import Fetcher
from fleet_rlm.agent.documents.folder import FolderText
from fleet_rlm.agent.documents.kinds import is_binary
from fleet_rlm.agent.roots import OutsideRoots, Roots

PACKED = 300 << 20
"""Bytes of a fetched pack."""
ONE_FILE = 8 << 20
SECONDS = 120.0
OLDEST = (2, 37)
"""The first git that can be told which address to connect to."""

BOUNDED = f'ulimit -f {PACKED >> 9} && exec "$@"'
"""How git is started: with a bound on the size of any file it writes."""

REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+@-]*")
COMMIT = re.compile(r"[0-9a-f]{7,40}")
FILE_MODES = ("100644", "100755")


async def repository_folder(url: str, ref: str, roots: Roots | None, fetcher: Fetcher) -> tuple[FolderText, str]:
    """The files of a repository at a branch, tag or commit ("" is its default branch), and the commit.

    Raises:
        DocumentError: the repository or the ref cannot be had, or it holds too much.
        FetchRefused, OutsideRoots: it may not be read.
    """
    if ref and (not REF.fullmatch(ref) or ".." in ref or "@{" in ref):
        raise DocumentError(f"{ref!r} is no name of a branch, tag or commit")
    where, options = await _source(url, roots, fetcher)
    with tempfile.TemporaryDirectory(prefix="fleet-repository-") as home:
        git = _Git(home, [*options, "-C", f"{home}/objects.git"])
        try:
            async with asyncio.timeout(SECONDS):
                await _Git(home, []).run("init", "-q", "--bare", f"{home}/objects.git")
                commit = await _fetched(git, where, ref, url)
                return await _read(git, commit, url), commit
        except TimeoutError:
            raise DocumentError(f"{url} did not arrive within {SECONDS:g} s") from None


async def _source(url: str, roots: Roots | None, fetcher: Fetcher) -> tuple[str, list[str]]:
    """What git is told to fetch from, and the options that keep it there."""
    if "://" not in url and not re.match(r"[^/]+:", url):
        if roots is None:
            raise OutsideRoots("no files of this machine may be read here; give an https URL")
        path = roots.resolve(url)
        return str(path), ["-c", "protocol.file.allow=always"]
    scheme = urlsplit(url).scheme
    host, port = fetcher.target(url) if scheme in ("http", "https") else ("", 0)
    if scheme != "https" and not (scheme == "http" and fetcher.allows(host, port)):
        raise FetchRefused(f"{url} is not an https URL, and repositories are fetched by https only")
    found = await _Git(tempfile.gettempdir(), []).run("version")
    version = tuple(int(part) for part in re.findall(r"\d+", found.decode())[:2])
    if version < OLDEST:
        raise DocumentError("git is too old to fetch from a checked address; install git 2.37 or newer")
    addresses = ",".join(
        f"[{address}]" if ":" in address else address for address in await fetcher.addresses(host, port)
    )
    return url, [
        *("-c", f"protocol.{scheme}.allow=always", "-c", f"http.curloptResolve={host}:{port}:{addresses}"),
        *("-c", "http.followRedirects=false", "-c", "http.proxy=", "-c", "http.emptyAuth=false"),
    ]


async def _fetched(git: _Git, where: str, ref: str, url: str) -> str:
    """Fetch one commit, or where the server gives no single commits all branches and tags; returns its hash."""
    shallow = ("fetch", "-q", "--no-tags", "--no-recurse-submodules", "--depth", "1", "--", where)
    try:
        await git.run(*shallow, ref or "HEAD")
        found = "FETCH_HEAD"
    except DocumentError as error:
        if not COMMIT.fullmatch(ref):
            raise DocumentError(f"{url} cannot be fetched{f' at {ref!r}' if ref else ''}: {error}") from None
        everything = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        await git.run("fetch", "-q", "--no-recurse-submodules", "--", where, *everything)
        found = ref
    try:
        return (await git.run("rev-parse", "--verify", "-q", f"{found}^{{commit}}")).decode().strip()
    except DocumentError:
        raise DocumentError(f"{url} has no branch, tag or commit {ref!r}") from None


async def _read(git: _Git, commit: str, url: str) -> FolderText:
    folder = FolderText()
    wanted: list[tuple[str, str]] = []
    async with git.started("ls-tree", "-r", "-l", "-z", commit) as listing:
        assert listing.stdout is not None
        while entry := await _until_nul(listing.stdout):
            about, _, path = entry.partition("\t")
            mode, kind, identity, size = about.split()
            if mode not in FILE_MODES:
                folder.skip(path, "a submodule" if kind == "commit" else "a symbolic link")
            elif int(size) > ONE_FILE:
                folder.skip(path, f"larger than {ONE_FILE >> 20} MB")
            else:
                wanted.append((identity, path))
            if len(wanted) > FILES:
                raise DocumentError(f"{url} holds more than {FILES:,} files; load a directory of a local copy")
    async with git.started("cat-file", "--batch") as blobs:
        assert blobs.stdin is not None
        assert blobs.stdout is not None
        for identity, path in wanted:
            blobs.stdin.write(f"{identity}\n".encode())
            await blobs.stdin.drain()
            length = int((await blobs.stdout.readline()).split()[2])
            data = (await blobs.stdout.readexactly(length + 1))[:-1]
            if is_binary(data[:8192]):
                folder.skip(path, "a binary file")
            else:
                folder.add(path, data.decode("utf-8", "replace").replace("\0", "\ufffd").removeprefix("\ufeff"))
            check_size(folder, url)
    if not folder.files:
        raise DocumentError(f"{url} holds no file that is text")
    return folder


class _Git:
    """git with no configuration but ours, no credentials and bounded files."""

    def __init__(self, home: str, options: list[str]) -> None:
        self.options = [
            *("-c", "credential.helper=", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
            *("-c", "protocol.allow=never", "-c", "gc.auto=0", *options),
        ]
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "no_proxy": "*",
        }

    async def run(self, *command: str) -> bytes:
        """What it printed. Raises DocumentError with its last line where it fails."""
        async with self.started(*command) as process:
            out, told = await process.communicate()
        if process.returncode == 127:
            raise DocumentError("git is not installed; install it, or load a local copy as a directory")
        if process.returncode:
            if process.returncode == -signal.SIGXFSZ or b"SIGXFSZ" in told or b"signal 25" in told:
                raise DocumentError(f"it is larger than {PACKED >> 20} MB")
            lines = told.decode("utf-8", "replace").strip().splitlines() or [f"git ended with {process.returncode}"]
            raise DocumentError(lines[0].removeprefix("fatal: ").removeprefix("error: ")[:300])
        return out

    @contextlib.asynccontextmanager
    async def started(self, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process while it runs; it is ended with all it started when the block is left."""
        try:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", BOUNDED, "sh", "git", *self.options, *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise DocumentError("repositories are fetched by git, and there is no shell to start it") from None
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _until_nul(stream: asyncio.StreamReader) -> str:
    try:
        return (await stream.readuntil(b"\0"))[:-1].decode("utf-8", "replace")
    except asyncio.IncompleteReadError:
        return ""
