"""A server that gives prepared answers in place of an API server, and the kubectls that send it requests."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""Code to the reason in the Status of an API server's answer (k8s.io/apimachinery, meta/v1, StatusReason)."""


@dataclass(frozen=True)
class Answer:
    """One answer. ``breaks`` cuts the connection instead: ``before`` the answer, or in its ``middle``."""

    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    breaks: str = ""


def document(told: dict[str, Any], code: int = 200, **headers: str) -> Answer:
    return Answer(code, json.dumps(told).encode(), {"Content-Type": "application/json", **headers})


def status(code: int, message: str, details: dict[str, Any] | None = None, reason: str | None = None, **headers: str) -> Answer:
    """Return an API server's answer to a request that it refuses."""
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}
    return document({**told, "reason": REASONS[code] if reason is None else reason, "details": details or {}}, code, **headers)


def page(code: int) -> Answer:
    """Return a proxy's answer."""
    return Answer(code, f"<html><body><h1>{code} of a proxy</h1></body></html>".encode(), {"Content-Type": "text/html"})


class Server:
    """
    Gives each verb of ``kubectl.sh`` the answers in :attr:`answers`, one after the other; the last one is repeated.

    :param certificate: the PEM file with a certificate and its key; None for HTTP.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, verb: str) -> Answer:
        with self._lock:
            number = self.asked[verb]
            self.asked[verb] += 1
        answers = self.answers.get(verb) or [status(404, f"nothing was said about {verb}")]
        return answers[min(number, len(answers) - 1)]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # kubectl has gone, or does not accept the certificate
                    self.close_connection = True

            def _verb(self) -> str:
                if self.path.startswith("/version"):
                    return "version"  # from a kubectl that checks which of its versions to run
                if self.command == "GET":
                    return "watch" if "watch=true" in self.path else "log" if "/log?" in self.path else "get"
                return {"POST": "create", "PUT": "replace", "DELETE": "delete", "CONNECT": "connect"}[self.command]

            def _read(self) -> None:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    return
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()

            def do_GET(self) -> None:
                self._read()
                answer = server.answer(self._verb())
                if answer.breaks == "middle":
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"metad')
                    self.wfile.flush()
                if answer.breaks:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                self.send_response(answer.code)
                for name, value in answer.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_PUT = do_DELETE = do_CONNECT = do_GET

        return Handler


def kubeconfig(folder: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> str:
    """Write a kubeconfig; return its path."""
    file = folder / "kubeconfig"
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": "a-token"} if user is None else user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    file.write_text(json.dumps(told))
    return str(file)


def certificate(folder: Path, address: str = "127.0.0.1") -> Path:
    """Create a certificate that no authority has signed, and its key, in one file; return its path."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an API server")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def kubectls() -> list[Any]:
    """Return the kubectl in PATH, and those in DAGCONFIG_TEST_KUBECTLS (paths joined with ``:``), each as a parameter."""
    named = [path for path in os.environ.get("DAGCONFIG_TEST_KUBECTLS", "").split(os.pathsep) if path]
    found = [path for path in (shutil.which(name) for name in ["kubectl", *named]) if path]
    return [pytest.param(path, id=version(path)) for path in found] or [pytest.param("kubectl", id="none")]


def version(path: str) -> str:
    done = subprocess.run([path, "version", "--client", "--output", "json"], capture_output=True, check=True)
    return str(json.loads(done.stdout)["clientVersion"]["gitVersion"])


@pytest.fixture
def api_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()
