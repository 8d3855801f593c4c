"""TLS in front of the server, by real clients and by what only looks like one."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.contract import Answer, Request
from sidecar.http import SPARE, Limits
from sidecar.tls import Secure
from tests.authority import Authority, Pair
from tests.harness import in_virtual_time
from tests.wire import (
    HANG,
    Response,
    ask,
    connected,
    exchange,
    get,
    last,
    logged,
    post,
    pour,
    receive,
    responses,
    serving,
    until,
)

AUTHORITY = Authority()
CLIENT = AUTHORITY.client()
LIMITS = Limits(connections=64, body=2**20)


class Contexts:
    """A listener's side: the context of the next connection, and why connections failed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failures: list[str] = []
        self.put(AUTHORITY.pair())

    def put(self, pair: Pair) -> None:
        """Use `pair` from now on."""
        file = self._folder / "pair.pem"
        file.write_bytes(pair.key + pair.certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)

    def context(self) -> ssl.SSLContext:
        return self._context

    def failed(self, reason: str) -> None:
        self.failures.append(reason)


@pytest.fixture
def tls(tmp_path: Path) -> Contexts:
    return Contexts(tmp_path)


def echo(request: Request) -> Answer:
    """The path and the length of the body."""
    return Answer.of(200, f"{request.target} {len(request.body)}".encode())


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def client(request: pytest.FixtureRequest) -> ssl.SSLContext:
    """A client of each version."""
    context = AUTHORITY.client()
    context.minimum_version = context.maximum_version = request.param
    return context


@dataclass(kw_only=True)
class Hand:
    """A client whose TLS is done by hand: every byte of it is seen, and sent when it is wanted."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    object: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    is_told_goodbye: bool = False

    def send(self, plain: bytes) -> None:
        """Encrypts; `flush` sends."""
        self.object.write(plain)

    async def flush(self) -> None:
        """Sends what was encrypted."""
        self.writer.write(self.outgoing.read())
        await self.writer.drain()

    async def fed(self) -> bool:
        """Takes what comes; False where nothing does any more."""
        async with asyncio.timeout(HANG):
            piece = await self.reader.read(65536)
        self.incoming.write(piece)
        return bool(piece)

    async def raw(self) -> bytes:
        """All that still comes, decrypted, by a client that has said goodbye."""
        while await self.fed():
            pass
        return self.object.read(65536)

    async def some(self) -> bytes:
        """The first line that comes."""
        while True:
            try:
                return self.object.read(65536).partition(b"\r\n")[0]
            except ssl.SSLWantReadError:
                assert await self.fed()

    async def read(self) -> bytes:
        """All that comes until the other side says goodbye, or ends without."""
        plain = b""
        while True:
            try:
                piece = self.object.read(65536)
            except ssl.SSLWantReadError:
                if not await self.fed():
                    return plain
                continue
            plain += piece
            if not piece:
                self.is_told_goodbye = True
                return plain


@asynccontextmanager
async def by_hand(port: int, client: ssl.SSLContext = CLIENT) -> AsyncIterator[Hand]:
    """A client by hand, its handshake made."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with connected(port) as (reader, writer):
        hand = Hand(reader=reader, writer=writer, object=made, incoming=incoming, outgoing=outgoing)
        while True:
            try:
                made.do_handshake()
                break
            except ssl.SSLWantReadError:
                await hand.flush()
                assert await hand.fed()
            finally:
                await hand.flush()  # an alert, too
        yield hand


# Requests and answers


async def test_a_connection_is_kept_and_serves_the_next_request(tls: Contexts, client: ssl.SSLContext) -> None:
    async with serving(echo, LIMITS, tls=tls) as served, connected(served.port, tls=client) as (reader, writer):
        for size in (0, 1, 5_000, 2**14, 2**20):
            writer.write(post(b"x" * size))
            assert (await receive(reader)).body == f"/ {size}".encode()
    assert tls.failures == []


async def test_pipelined_requests_are_answered_in_their_order(tls: Contexts, client: ssl.SSLContext) -> None:
    async def later(request: Request) -> Answer:
        await asyncio.sleep(0)
        return echo(request)

    raw = b"".join(get(f"/{number}") for number in range(200)) + last("/end")
    for handler in (echo, later):
        async with serving(handler, tls=tls) as served:
            found = responses(await exchange(served.port, raw, tls=client))
            assert [each.body for each in found] == [b"/%d 0" % number for number in range(200)] + [b"/end 0"]


async def test_a_slow_reader_gets_every_answer(tls: Contexts) -> None:
    large = Answer.of(200, b"x" * 3_000_000)
    async with serving(lambda _: large, tls=tls) as served:
        raw = await exchange(served.port, get() * 3 + last(), tls=CLIENT)
        assert [len(each.body) for each in responses(raw)] == [3_000_000] * 4


async def test_a_request_that_comes_byte_by_byte_in_tcp_and_in_tls_is_one_request(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served, by_hand(served.port) as hand:
        for byte in last("/slowly"):
            hand.object.write(bytes([byte]))
            for one in hand.outgoing.read():
                hand.writer.write(bytes([one]))
                await hand.writer.drain()
                await asyncio.sleep(0)
        assert (await hand.read()).startswith(b"HTTP/1.1 200 ")


async def test_the_last_answer_comes_whole_before_a_farewell_whatever_is_still_sent(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served, by_hand(served.port) as hand:
        hand.send(last("/first") + get("/never"))
        await hand.flush()
        hand.send(b"x" * 30_000)
        await hand.flush()
        assert responses(await hand.read())[0].body == b"/first 0"
        assert hand.is_told_goodbye
    assert tls.failures == []


async def test_a_client_that_says_goodbye_still_gets_its_answer(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served, by_hand(served.port) as hand:
        hand.send(get("/first"))
        with suppress(ssl.SSLWantReadError):
            hand.object.unwrap()
        await hand.flush()
        assert b"/first 0" in await hand.raw()
        await until(lambda: not served.server.connections)
    assert tls.failures == []


async def test_a_context_is_that_of_the_connections_that_begin_with_it(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served, AsyncExitStack() as stack:
        kept, serials = [], []
        for _ in range(3):
            pair = AUTHORITY.pair()
            tls.put(pair)
            kept.append(await stack.enter_async_context(connected(served.port, tls=AUTHORITY.client())))
            serials.append(pair.serial)
        for (reader, writer), serial in zip(kept, serials, strict=True):
            writer.write(get())
            assert (await receive(reader)).status == 200
            seen = writer.get_extra_info("peercert")["serialNumber"]
            assert int(seen, 16) == int(serial, 16)


# Who is no client


async def test_plain_http_ends_the_connection_and_is_told(tls: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, tls=tls) as served:
        assert not (await exchange(served.port, get())).startswith(b"HTTP")
    assert (tls.failures, served.failures, logged(caplog)) == (["HTTP_REQUEST"], [], [])


async def test_a_client_that_does_not_trust_us_is_told_of_by_its_alert(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with by_hand(served.port, Authority("another").client()):
                pass
        await until(lambda: bool(tls.failures))
    assert tls.failures == ["TLSV1_ALERT_UNKNOWN_CA"]


@in_virtual_time
async def test_d20_a_handshake_that_is_not_made_counts_and_ends_by_its_deadline(tls: Contexts) -> None:
    limits = Limits(connections=3, head=0.5, idle=60)
    async with serving(echo, limits, tls=tls) as served, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connected(served.port)) for _ in range(2)]
        silent[0][1].write(bytes.fromhex("16030100f8010000f40303"))  # how a handshake begins
        good = await stack.enter_async_context(connected(served.port, tls=CLIENT))
        response = await ask(served.port, last(), tls=CLIENT)
        assert (response.status, response.code) == (503, "TooManyConnections")
        assert [await reader.read() for reader, _ in silent] == [b"", b""]
        assert (await ask(served.port, last(), tls=CLIENT)).status == 200
        good[1].transport.abort()


async def test_d20_a_flood_above_the_limit_holds_a_bounded_number_of_connections(tls: Contexts) -> None:
    async with serving(echo, Limits(connections=4, head=60), tls=tls) as served, AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(connected(served.port, tls=CLIENT))
        most = 0

        async def flood() -> Response | None:
            nonlocal most
            with suppress(ConnectionError):  # those above the spare ones
                found = responses(await exchange(served.port, b"", tls=CLIENT))
                most = max(most, len(served.server.connections))
                return found[0] if found else None
            return None

        found = [each for each in await asyncio.gather(*(flood() for _ in range(200))) if each]
        assert {each.status for each in found} <= {503}  # those whose handshake took too long hear nothing
        assert most <= 4 + SPARE + 1
        assert (await ask(served.port, b"", tls=CLIENT)).status == 503
        assert served.failures == []


async def test_d20_whoever_is_refused_during_the_handshake_leaves_nothing_for_the_garbage_collector(
    tls: Contexts,
) -> None:
    async with serving(echo, Limits(connections=1), tls=tls) as served, connected(served.port, tls=CLIENT):
        gc.collect()
        gc.disable()
        try:
            async with connected(served.port) as (_, writer):
                await until(lambda: len(served.server.connections) == 2)
                writer.transport.abort()
                await until(lambda: len(served.server.connections) == 1)
            assert sum(isinstance(each, Secure) for each in gc.get_objects()) == 1
        finally:
            gc.enable()


@in_virtual_time
async def test_d20_a_client_that_only_asks_is_read_no_further(tls: Contexts) -> None:
    large = Answer.of(200, b"x" * 1_000_000)
    limits = Limits(connections=4, answer=0.2)
    async with serving(lambda _: large, limits, tls=tls) as served, connected(served.port, tls=CLIENT) as (_, writer):
        assert await pour(writer, get() * 1000) < 30_000_000
        async with asyncio.timeout(HANG):
            await served.server.gone.wait()


@settings(max_examples=10)
@given(raws=st.lists(st.binary(max_size=80), min_size=16, max_size=16))
def test_d20_whatever_is_sent_ends_the_connection_and_nothing_else(
    raws: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def send_all() -> None:
        tls = Contexts(tmp_path_factory.mktemp("tls"))
        async with serving(echo, Limits(connections=64, head=0.2), tls=tls) as served:
            beginning = bytes.fromhex("1603010050")  # of a record, so that more than its kind is looked at
            found = await asyncio.gather(
                *(exchange(served.port, pre + raw) for raw in raws for pre in (b"", beginning))
            )
            assert not any(each.startswith(b"HTTP") for each in found)
            assert (await ask(served.port, last(), tls=CLIENT)).status == 200
            assert served.failures == []

    in_virtual_time(send_all)()


async def test_both_ends_may_reset_without_a_trace(tls: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo, tls=tls) as served, connected(served.port, tls=CLIENT) as (_, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        writer.write(get()[:-2])
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(HANG):
            await served.server.gone.wait()
        assert (served.failures, tls.failures, logged(caplog)) == ([], [], [])


async def test_closing_ends_what_is_idle_with_a_farewell_and_what_has_not_begun_without(tls: Contexts) -> None:
    async with serving(echo, tls=tls) as served, by_hand(served.port) as hand, connected(served.port) as (reader, _):
        hand.send(get("/first"))
        await hand.flush()
        assert await hand.some() == b"HTTP/1.1 200 OK"
        await served.server.close()
        assert await reader.read() == b""
        await hand.read()
        assert hand.is_told_goodbye
