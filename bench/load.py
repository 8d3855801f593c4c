"""The load generator: raw sockets and one epoll, several times faster than what it drives.

Every connection is kept, and has one request in flight: no pipelining.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import inf
from time import perf_counter, process_time

from bench.figures import CannotMeasureError
from bench.stage import processor_seconds, whole

# What one answer may take before the measurement is given up.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it: answers per second; the latency in seconds that half of the answers kept, and 99 of 100; and the
    seconds on a core that an answer took the server, and the generator."""

    rate: float
    p50: float
    p99: float
    work: float
    own: float


def load(
    port: int,
    pid: int,
    *,
    requests: Iterable[bytes],
    connections: int,
    seconds: float = inf,
    answers: float = inf,
    tls: ssl.SSLContext | None = None,
) -> Load:
    """Sends `requests` to the process `pid`, on every connection the next as soon as the answer before is whole.

    They never end, and their answers have one length. It ends after so many `seconds` or `answers`; with `tls`, whoever
    has it must be `localhost`.
    """
    with ExitStack() as stack:
        stack.enter_context(_apart(pid))
        socks = [stack.enter_context(_connected(port, tls)) for _ in range(connections)]
        endless = iter(requests)
        size = max(_first(sock, next(endless)) for sock in socks)
        for sock in socks:
            sock.setblocking(False)
        epoll = stack.enter_context(select.epoll())
        began, before, own = perf_counter(), processor_seconds(pid), process_time()
        by_number = {sock.fileno(): sock for sock in socks}
        latencies = list(_latencies(by_number, epoll, endless, size, seconds=seconds, answers=answers))
        elapsed, worked, own = perf_counter() - began, processor_seconds(pid) - before, process_time() - own
    count = len(latencies)
    latencies.sort()
    return Load(
        rate=count / elapsed,
        p50=latencies[count // 2],
        p99=latencies[int(count * 0.99)],
        work=worked / count,
        own=own / count,
    )


@contextmanager
def _apart(pid: int) -> Iterator[None]:
    """Each on cores of its own, where there are two: what is measured never waits for the generator."""
    cores = os.sched_getaffinity(0)
    first = {min(cores)}
    try:
        os.sched_setaffinity(0, first)
        os.sched_setaffinity(pid, cores - first or cores)
        yield
    finally:
        os.sched_setaffinity(0, cores)
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, cores)


def _latencies(
    socks: dict[int, socket.socket],
    epoll: select.epoll,
    requests: Iterator[bytes],
    size: int,
    *,
    seconds: float,
    answers: float,
) -> Iterator[float]:
    end, count = perf_counter() + seconds, 0
    sent, received = dict.fromkeys(socks, 0.0), dict.fromkeys(socks, 0)
    for number, sock in socks.items():
        epoll.register(number, select.EPOLLIN)
        sent[number] = perf_counter()
        sock.sendall(next(requests))
    while (perf_counter() < end or not count) and count < answers:
        ready = epoll.poll(_PATIENCE)
        if not ready:
            raise CannotMeasureError(f"no answer within {_PATIENCE:.0f} s")
        for number, _ in ready:
            try:
                piece = socks[number].recv(65536)
            except ssl.SSLWantReadError:  # a part of a record
                continue
            if not piece or (not received[number] and not piece.startswith(b"HTTP/1.1 200 ")):
                raise CannotMeasureError(f"under load it answered {piece[:40]!r}")
            received[number] += len(piece)
            if received[number] < size:
                continue
            now = perf_counter()
            yield now - sent[number]
            count += 1
            received[number], sent[number] = 0, now
            socks[number].sendall(next(requests))


def _connected(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(sock, server_hostname="localhost") if tls else sock


def _first(sock: socket.socket, request: bytes) -> int:
    """One request to warm up: how many bytes an answer has."""
    sock.sendall(request)
    answer = b""
    while (size := whole(answer)) is None or len(answer) < size:
        answer += sock.recv(65536)
    return size
