"""Small git repositories, and a server that gives them over HTTP as git's own does."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AUTHOR = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ALONE = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}


def git(place: Path, *command: str, data: bytes | None = None) -> str:
    """What git printed."""
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *command],
        cwd=place,
        env={**ALONE, **AUTHOR},
        input=data,
        check=True,
        capture_output=True,
    )
    return done.stdout.decode().strip()


def repository(place: Path) -> tuple[Path, str, str]:
    """A repository with two commits, and their hashes: tag v1 is the first, branches main and dev are the second."""
    place.mkdir(parents=True)
    git(place, "init", "-q")
    hashes = []
    for text in ("one", "two"):
        (place / "src").mkdir(exist_ok=True)
        (place / "src" / "a.py").write_text(f"print({text!r})\n")
        (place / "README.md").write_text(f"# {text}\n")
        git(place, "add", ".")
        git(place, "commit", "-qm", text)
        hashes.append(git(place, "rev-parse", "HEAD"))
        if text == "one":
            git(place, "tag", "v1")
    git(place, "branch", "dev")
    return place, hashes[0], hashes[1]


class Served:
    """Where the server is, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.hosts: list[str] = []


@contextmanager
def serving_git(root: Path, redirect: str = "") -> Iterator[Served]:
    """The repositories below a directory, by git's smart protocol; or nothing but a redirect."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            served.hosts.append(self.headers["Host"])
            if redirect:
                self.send_response(302)
                self.send_header("Location", redirect + self.path)
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            environment = {
                **{"GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query},
                **{"REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", "")},
                **{"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")},
                **{"GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1", **ALONE},
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            out = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True).stdout
            head, _, content = out.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
