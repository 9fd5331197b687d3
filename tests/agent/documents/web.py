"""A web server on the loopback that counts who asked, and names that resolve as a test says."""

from __future__ import annotations

import datetime
import gzip
import http.server
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PAGE = b"<html><body><h1>Heron</h1></body></html>"


class Web:
    """What the server was asked, and where it is."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[tuple[str, str]] = []  # Host header, path
        self.headers: list[dict[str, str]] = []
        self.named: list[str] = []  # by SNI
        self.stop = threading.Event()
        self.reached = threading.Event()

    @property
    def hosts(self) -> list[str]:
        return [host for host, _ in self.asked]


class Nowhere(httpcore.AsyncNetworkBackend):
    """A network that notes where it was asked to connect, and connects nowhere."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *options: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        raise httpcore.ConnectError("there is no network in this test")


class Names:
    """A resolver: each name has a list of answers, the last is given for ever; an address is itself."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        given = self.answers.get(host, [[host]])
        return list(given.pop(0) if len(given) > 1 else given[0])


@contextmanager
def serving(tls: tuple[Path, Path] | None = None) -> Iterator[Web]:
    """The server. Paths: /page, /plain, /missing, /big?N, /bomb, /broken, /slow, /to?URL, /loop."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path, _, rest = self.path.partition("?")
            web.asked.append((self.headers["Host"], path))
            web.reached.set()
            web.headers.append(dict(self.headers))
            if path == "/to":
                self._answer(302, b"", {"Location": rest})
            elif path == "/loop":
                self._answer(302, b"", {"Location": "/loop"})
            elif path == "/missing":
                self._answer(404, b"gone", {})
            elif path == "/plain":
                self._answer(200, gzip.compress(b"plain text"), {"Content-Encoding": "gzip"})
            elif path == "/bomb":
                self._answer(200, gzip.compress(bytes(int(rest))), {"Content-Encoding": "gzip"})
            elif path == "/broken":
                self._answer(200, gzip.compress(b"x" * 1000)[:-8], {"Content-Encoding": "gzip"})
            elif path == "/big":
                self._answer(200, b"x" * int(rest), {})
            elif path == "/slow":
                self.send_response(200)
                self.end_headers()
                web.stop.wait(20)
                self.close_connection = True
            else:
                self._answer(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(server.server_port)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        context.sni_callback = lambda _socket, name, _context: web.named.append(str(name))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.stop.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def signed_for(host: str, folder: Path) -> tuple[Path, Path]:
    """A certificate that a host signed for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public, private
