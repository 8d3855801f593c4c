"""Raw bytes on real sockets: requests as no client library would let them be written, answers read strictly."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.http_parser import HttpRequestParser

from sidecar.heads import Heads
from sidecar.http import Handler, Limits, Server
from sidecar.tls import Tls

# Beyond this a test calls it a hang: no deadline under test is as long, and no process stands still for so long.
HANG = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response, taken apart; `fields` by lower-case name."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, str]:
        """The JSON of the body."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str:
        """The code of an error, which must have the one shape that every SDK can read."""
        found = self.document
        assert list(found) == ["code", "message", "Code", "Message"]
        assert (found["code"], found["message"]) == (found["Code"], found["Message"])
        assert all(found.values())
        return found["code"]


def get(path: str = "/v1/credentials", *lines: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    """A request head with further header `lines`."""
    head = (f"{method} {path} HTTP/1.1", f"Host: {host}", *lines)
    return "".join(f"{line}\r\n" for line in head).encode("latin-1") + b"\r\n"


def last(path: str = "/v1/credentials", *lines: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    """The same, after which the server closes."""
    return get(path, *lines, "Connection: close", method=method, host=host)


def post(body: bytes, path: str = "/", *lines: str) -> bytes:
    """A request with a body of that length."""
    return get(path, f"Content-Length: {len(body)}", *lines, method="POST") + body


def responses(raw: bytes, *, head: bool = False) -> list[Response]:
    """All of `raw` as responses, each with a length that is true; `head`: they answer HEAD and have no body."""
    found = []
    while raw:
        top, end, raw = raw.partition(b"\r\n\r\n")
        assert end, f"no end of head in {top!r}"
        first, *lines = top.decode("ascii").split("\r\n")
        version, status, reason = first.split(" ", 2)
        assert (version, bool(reason)) == ("HTTP/1.1", True)
        pairs = [line.split(": ", 1) for line in lines]
        fields = {name.lower(): value for name, value in pairs}
        assert len(fields) == len(pairs), f"a field twice in {lines}"
        length = 0 if head else int(fields["content-length"])
        assert len(raw) >= length, "a body shorter than it says"
        found.append(Response(status=int(status), fields=fields, body=raw[:length]))
        raw = raw[length:]
    return found


@asynccontextmanager
async def connected(
    port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, over TLS if a context is given, that is gone afterwards, whoever closed it."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(
    port: int, raw: bytes, *, is_half_closed: bool = False, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> bytes:
    """All that comes back for `raw` until the server closes."""
    async with connected(port, host=host, tls=tls) as (reader, writer):
        writer.write(raw)
        if is_half_closed:
            writer.write_eof()
        async with asyncio.timeout(HANG):
            return await reader.read()


async def ask(port: int, raw: bytes, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Response:
    """The one response to `raw`, after which the server closes."""
    found = responses(await exchange(port, raw, host=host, tls=tls), head=raw.startswith(b"HEAD "))
    assert len(found) == 1
    return found[0]


async def receive(reader: asyncio.StreamReader) -> Response:
    """The next response on a connection that stays open."""
    async with asyncio.timeout(HANG):
        top = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in top.split(b"\r\n") if line.startswith(b"Content-Length: "))
        return responses(top + await reader.readexactly(length))[0]


async def pour(writer: asyncio.StreamWriter, raw: bytes) -> int:
    """Sends `raw` again and again for as long as the other side takes it; how many bytes that were."""
    sent = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(HANG):
            while True:
                writer.write(raw)
                await writer.drain()
                sent += len(raw)
    return sent


async def until(is_so: Callable[[], bool]) -> None:
    """Lets everything else run until `is_so`: for what the server tells nobody."""
    async with asyncio.timeout(HANG):
        while not is_so():  # noqa: ASYNC110 -- there is no event in the code under test
            await asyncio.sleep(0)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, less what asyncio's debug mode says of a slow machine."""
    return [line for line in caplog.messages if not line.startswith("Executing ")]


class Watched(Server):
    """A server that tells when a connection has gone, and how many bytes of it were still to be looked at."""

    gone: asyncio.Event
    unread: int = 0

    def lost(self, connection: Any) -> None:
        super().lost(connection)
        self.unread = len(connection._received)
        self.gone.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that listens on `port`, and what it told."""

    server: Watched
    port: int
    refused: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)


@asynccontextmanager
async def serving(
    handler: Handler,
    limits: Limits | None = None,
    sockets: Sequence[socket.socket] = (),
    parser: type[HttpRequestParser] = HttpRequestParser,
    tls: Tls | None = None,
) -> AsyncIterator[Served]:
    """A server on loopback with `handler`, closed at the end."""
    refused: list[str] = []
    failures: list[Exception] = []
    server = Watched(handler, limits or Limits(connections=64), refused=refused.append, failed=failures.append)
    server.heads = Heads(server.loop, parser)
    server.gone = asyncio.Event()
    listening = list(sockets) or [socket.create_server(("127.0.0.1", 0))]
    await server.start(listening, tls)
    port = listening[0].getsockname()[1]
    try:
        yield Served(server=server, port=port, refused=refused, failures=failures)
    finally:
        await server.close()
