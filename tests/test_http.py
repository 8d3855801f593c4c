from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import pytest
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.contract import Answer, Request, compact
from sidecar.heads import HEAD, LINES
from sidecar.http import DREGS, Limits
from tests.harness import in_virtual_time
from tests.wire import HANG, Response, ask, connected, exchange, get, last, logged, pour, receive, responses, serving

HELLO = Answer.of(200, compact({"code": "Hello", "message": "hello", "Code": "Hello", "Message": "hello"}))


Parser = type[HttpRequestParser]


@pytest.fixture(params=[HttpRequestParser, HttpRequestParserPy], ids=["c", "python"])
def parser(request: pytest.FixtureRequest) -> Parser:
    """aiohttp's parser as it is built for this platform, and the one for platforms without a compiler."""
    chosen: Parser = request.param
    return chosen


def hello(request: Request) -> Answer:
    return HELLO


def quick(*, head: float = 0.2, idle: float = 0.2) -> Limits:
    return Limits(connections=64, head=head, idle=idle, answer=0.2)


# Requests and answers


async def test_r10_a_connection_is_kept_and_serves_the_next_request() -> None:
    async with serving(hello) as served, connected(served.port) as (reader, writer):
        for _ in range(3):
            writer.write(get())
            response = await receive(reader)
            assert response.status == 200
            assert "connection" not in response.fields


async def test_r10_an_answer_has_a_length_a_plain_json_type_and_is_not_stored() -> None:
    async with serving(hello) as served:
        response = await ask(served.port, last())
        assert response.fields == {
            "content-type": "application/json",
            "content-length": str(len(HELLO.body)),
            "cache-control": "no-store",
            "connection": "close",
        }


async def test_pipelined_requests_are_answered_in_their_order_up_to_the_last(parser: Parser) -> None:
    def echo(request: Request) -> Answer:
        return Answer.of(200, request.target.encode())

    async with serving(echo, parser=parser) as served:
        raw = b"".join(get(f"/{n}") for n in range(2000)) + last("/end") + get("/never")
        bodies = [response.body for response in responses(await exchange(served.port, raw))]
        assert bodies == [b"/%d" % n for n in range(2000)] + [b"/end"]


async def test_an_answer_does_not_wait_for_the_acknowledgement_of_the_one_before() -> None:
    async with serving(hello) as served, connected(served.port) as (reader, writer):
        writer.write(get())
        await receive(reader)
        (connection,) = served.server.connections
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_client_that_leaves_amid_its_pipelined_requests_leaves_no_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = 0

    def leave(_: Request) -> Answer:
        nonlocal count
        count += 1
        if count == 10:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            client.close()
        return HELLO

    async with serving(leave) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(get() * 100)
            async with asyncio.timeout(HANG):
                await served.server.gone.wait()
        assert 10 <= count < 100
        assert (served.failures, logged(caplog)) == ([], [])


async def test_a_good_request_before_a_malformed_one_is_answered_on_its_merits(parser: Parser) -> None:
    async with serving(hello, parser=parser) as served:
        raw = get() + b"nonsense\r\n\r\n"
        assert [r.status for r in responses(await exchange(served.port, raw))] == [200, 400]


async def test_a_request_that_comes_byte_by_byte_is_one_request() -> None:
    async with serving(hello) as served, connected(served.port) as (reader, writer):
        for byte in last():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert len(responses(await reader.read())) == 1


async def test_r10_http_1_0_is_served_without_a_host_and_closed(parser: Parser) -> None:
    async with serving(hello, parser=parser) as served:
        response = await ask(served.port, b"GET / HTTP/1.0\r\n\r\n")
        assert (response.status, response.fields["connection"]) == (200, "close")


async def test_head_gets_the_fields_of_get_without_a_body() -> None:
    async with serving(hello) as served:
        response = await ask(served.port, last(method="HEAD"))
        assert response.fields["content-length"] == str(len(HELLO.body))


async def test_a_client_that_closes_its_half_still_gets_its_answer() -> None:
    async def later() -> Answer:
        await asyncio.sleep(0)
        return HELLO

    for handler in (hello, lambda _: later()):
        async with serving(handler) as served:
            raw = await exchange(served.port, get(), is_half_closed=True)
            assert [r.status for r in responses(raw)] == [200]


async def test_header_names_come_in_lower_case_and_repeated_headers_joined(parser: Parser) -> None:
    seen: list[Request] = []

    def note(request: Request) -> Answer:
        seen.append(request)
        return HELLO

    async with serving(note, parser=parser) as served:
        await ask(served.port, last("/a?b=c", "AUTHORIZATION: one", "authorization: two", "X-Odd: \xe9"))
    assert seen[0].target == "/a?b=c"
    assert seen[0].headers["authorization"] == "one, two"


async def test_an_upgrade_is_answered_as_a_request_and_closed(parser: Parser) -> None:
    async with serving(hello, parser=parser) as served:
        lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        response = await ask(served.port, get("/", *lines))
        assert (response.status, response.fields["connection"]) == (200, "close")


# Malformed and oversized

MALFORMED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n",
    "two hosts, one foreign": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
    "no version": b"GET /\r\nHost: 127.0.0.1\r\n\r\n",
    "future version": b"GET / HTTP/3.7\r\nHost: 127.0.0.1\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
    "NUL before the end": b"GET / HTTP/1.1\r\nX: a\x00",
    "TLS": bytes.fromhex("16030100f8010000f40303") + b"\x8f" * 64,
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "negative length": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -4\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "not a target": b"GET foo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}
OVERSIZED = {
    "target": get("/" + "a" * HEAD),
    "header": get("/", "X: " + "a" * HEAD),
    "header that never ends": get("/", "X: " + "a" * HEAD)[:-4],
    "headers": get("/", *(f"X-{n}: {n}" for n in range(LINES))),
    "headers that never end": get("/", *(f"X-{n}: {n}" for n in range(LINES + 1)))[:-2],
    "all of it": get("/", *(f"X-{n}: {'a' * 400}" for n in range(LINES // 2))),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_d10_malformed_request_gets_json_and_a_close(
    raw: bytes, parser: Parser, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(hello, parser=parser) as served:
        response = await ask(served.port, raw)
        assert (response.status, response.code) == (400, "BadRequest")
        assert served.refused == ["malformed"]
        assert (served.failures, logged(caplog)) == ([], [])


@pytest.mark.parametrize("raw", OVERSIZED.values(), ids=OVERSIZED)
async def test_d20_an_oversized_head_gets_431_and_a_close(raw: bytes, parser: Parser) -> None:
    async with serving(hello, parser=parser) as served:
        response = await ask(served.port, raw)
        assert (response.status, response.code) == (431, "RequestTooLarge")
        assert served.refused == ["oversized"]


# Bodies


async def test_a_body_is_dropped_after_an_answer_that_arrives_whole(parser: Parser) -> None:
    async with serving(hello, parser=parser) as served:
        raw = get("/", "Content-Length: 50000", method="POST") + b"x" * 50_000
        response = await ask(served.port, raw)
        assert (response.status, response.fields["connection"]) == (200, "close")


async def test_what_a_body_holds_is_never_taken_for_a_request(parser: Parser) -> None:
    smuggled = get("/smuggled")
    for lines in (["Transfer-Encoding: chunked"], [f"Content-Length: {len(smuggled)}"]):
        async with serving(hello, parser=parser) as served:
            assert len(responses(await exchange(served.port, get("/", *lines) + smuggled))) == 1


async def test_d20_a_body_without_end_is_cut() -> None:
    async with serving(hello) as served, connected(served.port) as (reader, writer):
        writer.write(get("/", f"Content-Length: {10**9}", method="POST"))
        assert (await receive(reader)).status == 200
        # What the kernel's buffers take does not count; a second of a fast sender would be hundreds of megabytes.
        assert await pour(writer, b"x" * DREGS) < 30_000_000


# Deadlines


@in_virtual_time
async def test_d20_a_slow_head_gets_408_and_a_close() -> None:
    async with serving(hello, quick(idle=60)) as served:
        response = await ask(served.port, get()[:-2])
        assert (response.status, response.code) == (408, "RequestTimeout")
        assert served.refused == ["slow"]


@in_virtual_time
async def test_d20_a_head_that_trickles_in_does_not_move_its_deadline() -> None:
    async with serving(hello, quick(idle=60)) as served, connected(served.port) as (reader, writer):
        answer = asyncio.create_task(reader.read())
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(HANG):
            while not answer.done():
                writer.write(b"X: y\r\n" if len(served.refused) == 0 else b"")
                await asyncio.wait([answer], timeout=0.05)
        assert responses(answer.result())[0].status == 408


@in_virtual_time
async def test_d20_a_connection_that_never_says_anything_is_closed() -> None:
    async with serving(hello, quick(idle=60)) as served:
        assert await exchange(served.port, b"") == b""
        assert served.refused == []


@in_virtual_time
async def test_d20_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    async with serving(hello, quick(head=0.05, idle=0.4)) as served:
        loop = asyncio.get_running_loop()
        began = loop.time()
        raw = await exchange(served.port, get())
        assert [r.status for r in responses(raw)] == [200]
        assert loop.time() - began >= 0.4


def test_r10_an_idle_connection_is_kept_for_longer_than_a_minute() -> None:
    assert Limits(connections=1).idle > 60


@in_virtual_time
async def test_d20_a_client_that_never_reads_is_cut() -> None:
    large = Answer.of(200, b"x" * 8_000_000)
    limits = quick(head=60, idle=60)
    async with serving(lambda _: large, limits) as served, connected(served.port) as (_, writer):
        writer.write(get())
        async with asyncio.timeout(HANG):
            await served.server.gone.wait()
        assert not served.server.connections


@in_virtual_time
async def test_d20_a_client_that_only_asks_is_read_no_further() -> None:
    large = Answer.of(200, b"x" * 1_000_000)
    limits = quick(head=60, idle=60)
    async with serving(lambda _: large, limits) as served, connected(served.port) as (_, writer):
        assert await pour(writer, get() * 1000) < 30_000_000
        async with asyncio.timeout(HANG):
            await served.server.gone.wait()
        assert served.server.unread <= 2 * HEAD


async def test_a_slow_reader_within_the_deadline_gets_every_answer() -> None:
    large = Answer.of(200, b"x" * 3_000_000)
    async with serving(lambda _: large) as served:
        raw = await exchange(served.port, get() * 3 + last())
        assert [len(r.body) for r in responses(raw)] == [3_000_000] * 4


@in_virtual_time
async def test_a_handler_that_hangs_is_cut() -> None:
    async def never() -> Answer:
        await asyncio.Event().wait()
        return HELLO

    async with serving(lambda _: never(), quick(head=60, idle=60)) as served:
        assert await exchange(served.port, get()) == b""


# Bounds


async def test_d20_a_connection_above_the_limit_gets_503_and_a_close_and_the_others_are_served() -> None:
    async with serving(hello, Limits(connections=8)) as served:
        async with AsyncExitStack() as stack:
            held = [await stack.enter_async_context(connected(served.port)) for _ in range(8)]
            for _ in range(3):
                response = await ask(served.port, last())
                assert (response.status, response.code) == (503, "TooManyConnections")
            assert served.refused == ["crowded"] * 3
            for reader, writer in held:
                writer.write(last())
                assert responses(await reader.read())[0].status == 200
        assert (await ask(served.port, last())).status == 200


async def test_d20_a_flood_above_the_limit_holds_a_bounded_number_of_connections() -> None:
    async with serving(hello, Limits(connections=4)) as served:
        most = 0

        async def flood() -> Response:
            nonlocal most
            async with connected(served.port) as (reader, _writer):
                raw = await reader.read()
                most = max(most, len(served.server.connections))
                return responses(raw)[0]

        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(connected(served.port))
            found = await asyncio.gather(*(flood() for _ in range(200)))
        assert {response.status for response in found} == {503}
        assert most <= 4 + 64 + 1


# Bugs


def _broken(request: Request) -> Answer:
    raise KeyError("a-secret-value")


async def _broken_later() -> Answer:
    await asyncio.sleep(0)
    raise KeyError("a-secret-value")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_bug_in_a_handler_is_a_500_without_a_traceback_and_is_told_once(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: Request) -> Answer | Awaitable[Answer]:
        return _broken_later() if is_async else _broken(request)

    async with serving(handler) as served:
        response = await ask(served.port, last())
        assert (response.status, response.code) == (500, "InternalError")
        assert b"secret" not in response.body
        assert b"Traceback" not in response.body
        (error,) = served.failures
        assert isinstance(error, KeyError)
        assert logged(caplog) == []


# The end


async def test_r23_closing_finishes_what_is_in_flight_and_closes_what_is_idle() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def held() -> Answer:
        arrived.set()
        await release.wait()
        return HELLO

    def handler(request: Request) -> Answer | Awaitable[Answer]:
        return held() if request.target == "/slow" else HELLO

    async with serving(handler) as served, connected(served.port) as (idle_reader, idle_writer):
        idle_writer.write(get())
        await receive(idle_reader)
        slow = asyncio.create_task(exchange(served.port, get("/slow")))
        await arrived.wait()
        closing = asyncio.create_task(served.server.close())
        assert await idle_reader.read() == b""
        late = await ask(served.port, get())  # the listeners close last
        assert (late.status, late.fields["connection"]) == (200, "close")
        release.set()
        (response,) = responses(await slow)
        assert (response.status, response.fields["connection"]) == (200, "close")
        await closing
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)


@in_virtual_time
async def test_closing_does_not_wait_for_a_request_that_never_ends() -> None:
    async def never() -> Answer:
        arrived.set()
        await asyncio.Event().wait()
        return HELLO

    arrived = asyncio.Event()
    async with serving(lambda _: never(), Limits(connections=4, answer=0.2)) as served:
        stuck = asyncio.create_task(exchange(served.port, get()))
        await arrived.wait()
        async with asyncio.timeout(HANG):
            await served.server.close()
        assert await stuck == b""


# Anything at all

FRAGMENTS = st.sampled_from(
    [
        b"GET ", b"HEAD ", b"POST ", b"BREW ", b"/", b"*", b"http://127.0.0.1/", b"?a=b", b"#f", b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n", b"Host: 127.0.0.1\r\n", b"Host: evil\r\n", b"Content-Length: 5\r\n", b"Content-Length: x\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"Expect: 100-continue\r\n", b"\r\n", b"\n", b"\r", b": ", b"\x00", b"\xff", b"5\r\nhello\r\n0\r\n\r\n",
    ]
)  # fmt: skip


@st.composite
def _bent(draw: st.DrawFn) -> bytes:
    """A good request with a few bytes changed, lost or added."""
    raw = bytearray(get("/v1/credentials", "Authorization: token", "Accept: */*"))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        raw[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


RAW = st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=14).map(b"".join), _bent())


@settings(max_examples=13, deadline=None)
@given(raws=st.lists(st.tuples(RAW, st.booleans()), min_size=16, max_size=16))
def test_d20_whatever_is_sent_gets_well_formed_answers_and_a_close(raws: list[tuple[bytes, bool]]) -> None:
    async def send_all() -> list[bytes]:
        limits = quick(head=0.25, idle=0.04)
        async with serving(hello, limits) as served:
            sent = (exchange(served.port, raw, is_half_closed=is_half) for raw, is_half in raws)
            found = await asyncio.gather(*sent)
            assert served.failures == []
            return found

    for raw, received in zip(raws, in_virtual_time(send_all)(), strict=True):
        _is_well_formed(received, raw[0])


def _is_well_formed(received: bytes, raw: bytes) -> None:
    while received:
        top, _, rest = received.partition(b"\r\n\r\n")
        is_of_head = top.startswith(HELLO.fields.rstrip()) and not rest.startswith(b"{")
        if is_of_head:
            received = rest
            continue
        first = responses(received)[0]
        assert first.status in (200, 400, 408, 431), raw
        assert first.code
        received = rest[len(first.body) :]


async def test_both_ends_may_reset_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(hello) as served, connected(served.port) as (_reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        writer.write(get()[:-2])
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(HANG):
            await served.server.gone.wait()
        assert (served.failures, logged(caplog)) == ([], [])
