from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.probe import PAUSE, probe
from tests.ports import free_port
from tests.process import PATIENCE


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A listener that gives each connection the next of `answers`, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            thread.join()


def no_sleep(seconds: float) -> None:
    raise AssertionError(f"slept for {seconds} s")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH 200\r\n", False),
        (b"", False),
        (b"HTTP/1.1 2", False),
    ],
)
def test_the_verdict_is_the_status(answer: bytes, verdict: bool) -> None:
    with answering(answer) as (port, asked):
        given = probe("127.0.0.1", port, "/readyz/a", seconds=PATIENCE, clock=time.monotonic, sleep=no_sleep)
    assert (given == b"200") is verdict
    assert asked[0].startswith(b"GET /readyz/a HTTP/1.1\r\nHost: localhost\r\n")


def test_d27_a_refused_connection_is_tried_again_until_the_sidecar_listens() -> None:
    port = free_port()
    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                late.bind(("127.0.0.1", port))
                late.listen()
                thread.start()

        def serve() -> None:
            connection, _ = late.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        assert probe("127.0.0.1", port, "/readyz", seconds=PATIENCE, clock=time.monotonic, sleep=sleep) == b"200"
        thread.join()
    assert slept == [PAUSE] * 3


def test_d27_a_sidecar_that_never_listens_is_a_no_at_the_deadline() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    assert not probe("127.0.0.1", free_port(), "/readyz", seconds=3, clock=lambda: now, sleep=sleep)
    assert now == pytest.approx(3.0)


def test_silence_is_a_no_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not probe("127.0.0.1", port, "/readyz", seconds=0.1, clock=time.monotonic, sleep=no_sleep)


def test_it_imports_nothing_but_socket() -> None:
    loaded = "set(sys.modules)"
    said = f"import __future__, sys, socket; before = {loaded}; import sidecar.probe; print(*sorted({loaded} - before))"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert run.stdout == "sidecar sidecar.probe\n"
