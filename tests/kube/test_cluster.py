"""Whether the cluster has native sidecars, asked of a real HTTPS server in the API server's place."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.kube.cluster import doubt
from tests.authority import Authority

AUTHORITY = Authority()


@dataclass(kw_only=True)
class ApiServer:
    """What answers `/version`, and what it was asked with."""

    port: int
    account: Path
    status: int = 200
    body: bytes = b""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """As kubelet sets it in every container."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def says(self, **version: object) -> None:
        """From now on that version, with what else a real one says."""
        self.body = json.dumps({"gitVersion": "v1", "platform": "linux/amd64", **version}).encode()

    def doubt(self) -> str | None:
        """What a webhook in this cluster doubts."""
        return doubt(self.environ, str(self.account))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server whose CA is in the service account."""
    account, pair = tmp_path / "serviceaccount", AUTHORITY.pair()
    account.mkdir()
    AUTHORITY.write(account / "ca.crt")
    (tmp_path / "pair.pem").write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            it.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(it.status)
            self.send_header("Content-Length", str(len(it.body)))
            self.end_headers()
            self.wfile.write(it.body)

        def log_message(self, *_: object) -> None:
            """It is a test's."""

        def handle(self) -> None:
            try:
                super().handle()
            except ssl.SSLError:
                self.close_connection = True

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust it."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        it = ApiServer(port=server.server_port, account=account)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield it
        server.shutdown()
        thread.join()


@contextmanager
def _listening(answer: bytes | None) -> Iterator[int]:
    """A port that answers in plain text, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(answer or b"")
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("minor", ["29", "29+", "31", "36-gke.100"])
def test_a_cluster_that_has_native_sidecars_is_not_doubted(minor: str, api: ApiServer) -> None:
    api.says(major="1", minor=minor)
    assert api.doubt() is None
    assert api.asked == [("/version", None)]


def test_the_service_accounts_token_is_shown_where_there_is_one(api: ApiServer) -> None:
    api.says(major="1", minor="30")
    (api.account / "token").write_text("a.b.c\n")
    assert api.doubt() is None
    assert api.asked == [("/version", "Bearer a.b.c")]


@pytest.mark.parametrize("minor", ["28", "28+", "9"])
def test_a_cluster_that_has_none_is_an_error_that_says_what_to_do(minor: str, api: ApiServer) -> None:
    api.says(major="1", minor=minor)
    with pytest.raises(ConfigError, match="native sidecars") as caught:
        api.doubt()
    (problem,) = caught.value.problems
    assert (problem.setting, problem.value) == ("Kubernetes", f"1.{minor.rstrip('+')}")
    assert "Upgrade the cluster to 1.29" in problem.remedy


def test_outside_a_cluster_nobody_is_asked() -> None:
    assert doubt({}) is None


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "it answers 401"),
        (500, b"", "it answers 500"),
        (200, b"<html>", "Expecting value"),
        (200, b"[]", "no version"),
        (200, b'{"major": "1"}', "no version"),
        (200, b'{"major": "1", "minor": 29}', "no version"),
        (200, b'{"major": "", "minor": ""}', "no version"),
        (200, b'"' + b"x" * 100_000 + b'"', "Unterminated string"),
    ],
)
def test_what_is_no_version_is_a_doubt(status: int, body: bytes, words: str, api: ApiServer) -> None:
    api.status, api.body = status, body
    said = api.doubt()
    assert said is not None
    assert said.startswith(f"the API server at 127.0.0.1:{api.port} does not say its version: ")
    assert words in said


def test_an_api_server_that_is_not_trusted_is_a_doubt_and_sees_no_token(api: ApiServer) -> None:
    api.says(major="1", minor="28")
    (api.account / "token").write_text("a.b.c")
    Authority("another").write(api.account / "ca.crt")
    assert "kube-root-ca.crt" in (api.doubt() or "")
    (api.account / "ca.crt").unlink()
    assert "kube-root-ca.crt" in (api.doubt() or "")
    assert api.asked == []


def test_an_api_server_that_is_not_there_is_a_doubt(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        assert doubt(environ, str(tmp_path)) == (
            f"the API server at 127.0.0.1:{port} does not say its version: Connection refused"
        )


def test_what_speaks_no_tls_is_a_doubt(tmp_path: Path) -> None:
    with _listening(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        assert "WRONG_VERSION_NUMBER" in (doubt(environ, str(tmp_path)) or "").upper()


def test_what_never_answers_is_a_doubt_before_long(tmp_path: Path) -> None:
    with _listening(None) as port:
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        assert "timed out" in (doubt(environ, str(tmp_path), patience=0.2) or "")
