"""The load generator: raw sockets and one epoll, several times faster than what it drives.

Every connection is kept, and has one request in flight: no pipelining.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from bench.figures import CannotMeasureError
from bench.stage import processor_seconds, whole

# What one answer may take before the measurement is given up.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it: answers per second, the latency in seconds that 99 of 100 answers kept, and the seconds on a
    core that an answer took the server."""

    rate: float
    p99: float
    work: float


def load(port: int, pid: int, *, request: bytes, connections: int, seconds: float) -> Load:
    """Sends `request` to the process `pid` on every connection, each as soon as the answer before is whole."""
    with ExitStack() as stack:
        socks = [stack.enter_context(_connected(port)) for _ in range(connections)]
        size = max(_first(sock, request) for sock in socks)
        epoll = stack.enter_context(select.epoll())
        began, before = perf_counter(), processor_seconds(pid)
        latencies = list(_latencies({sock.fileno(): sock for sock in socks}, epoll, request, size, seconds))
        elapsed, worked = perf_counter() - began, processor_seconds(pid) - before
    count = len(latencies)
    return Load(rate=count / elapsed, p99=sorted(latencies)[int(count * 0.99)], work=worked / count)


def _latencies(
    socks: dict[int, socket.socket], epoll: select.epoll, request: bytes, size: int, seconds: float
) -> Iterator[float]:
    end = perf_counter() + seconds
    sent, received = dict.fromkeys(socks, 0.0), dict.fromkeys(socks, 0)
    for number, sock in socks.items():
        epoll.register(number, select.EPOLLIN)
        sent[number] = perf_counter()
        sock.sendall(request)
    while (now := perf_counter()) < end:
        ready = epoll.poll(_PATIENCE)
        if not ready:
            raise CannotMeasureError(f"no answer within {_PATIENCE:.0f} s")
        for number, _ in ready:
            piece = socks[number].recv(65536)
            if not piece or (not received[number] and not piece.startswith(b"HTTP/1.1 200 ")):
                raise CannotMeasureError(f"under load it answered {piece[:40]!r}")
            received[number] += len(piece)
            if received[number] < size:
                continue
            now = perf_counter()
            yield now - sent[number]
            received[number], sent[number] = 0, now
            socks[number].sendall(request)


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _first(sock: socket.socket, request: bytes) -> int:
    """One request to warm up: how many bytes an answer has."""
    sock.sendall(request)
    answer = b""
    while (size := whole(answer)) is None or len(answer) < size:
        answer += sock.recv(65536)
    return size
