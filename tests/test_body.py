"""Bodies of requests on real sockets: whole, in chunks, too long, too slow, and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.body import KEPT, MOST, SHORT
from sidecar.contract import Answer, Request, compact
from sidecar.http import LONG_ONES, Limits
from tests.harness import in_virtual_time
from tests.wire import (
    HANG,
    Response,
    Served,
    ask,
    connected,
    exchange,
    get,
    post,
    pour,
    receive,
    responses,
    serving,
    until,
)

LIMITS = Limits(connections=64, body=2**20)
QUICK = Limits(connections=64, body=2**20, head=60, arrival=0.2, idle=60)
# A body that has to wait for its turn where others are sent.
LONG = SHORT + 1

Parser = type[HttpRequestParser]


@pytest.fixture(params=[HttpRequestParser, HttpRequestParserPy], ids=["c", "python"])
def parser(request: pytest.FixtureRequest) -> Parser:
    """aiohttp's parser as it is built for this platform, and the one for platforms without a compiler."""
    chosen: Parser = request.param
    return chosen


def echo(request: Request) -> Answer:
    """What came: how it begins, how much of it is there, and how long it was."""
    said = {"path": request.target, "begins": request.body[:8].decode("latin-1")}
    return Answer.of(200, compact({**said, "kept": len(request.body), "size": request.size}))


def found(response: Response) -> tuple[str, int, int]:
    """The same of the answer: beginning, kept, size."""
    said: dict[str, object] = dict(response.document)
    return str(said["begins"]), int(str(said["kept"])), int(str(said["size"]))


def chunked(*pieces: bytes) -> bytes:
    """The head of a request in chunks, and them."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return get("/", "Transfer-Encoding: chunked", method="POST") + chunks + b"0\r\n\r\n"


async def test_a_body_comes_whole_and_its_connection_serves_the_next_request(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served, connected(served.port) as (reader, writer):
        for size in (5_000, 1, LONG, 2**20):
            writer.write(post(b"x" * size))
            response = await receive(reader)
            assert found(response) == ("x" * min(size, 8), size, size)
            assert "connection" not in response.fields


async def test_pipelined_bodies_are_taken_apart_where_they_end(parser: Parser) -> None:
    bodies = [b"%d" % number * number for number in range(1, 300)]
    raw = b"".join(post(body, f"/{len(body)}") + get("/none") for body in bodies)
    async with serving(echo, LIMITS, parser=parser) as served:
        answers = responses(await exchange(served.port, raw + post(b"last", "/", "Connection: close")))
    assert [found(each)[1] for each in answers[:-1:2]] == [len(body) for body in bodies]
    assert [found(each)[1] for each in answers[1:-1:2]] == [0] * len(bodies)


async def test_a_request_without_a_body_has_an_empty_one(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        for raw in (post(b"", "/", "Connection: close"), get("/", "Connection: close", method="POST")):
            assert found(await ask(served.port, raw)) == ("", 0, 0)


async def test_only_post_has_a_body(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        response = await ask(served.port, get("/", "Content-Length: 5", method="PUT") + b"hello")
        assert (found(response), response.fields["connection"]) == (("", 0, 0), "close")


async def test_no_body_is_read_where_none_is_asked_for(parser: Parser) -> None:
    async with serving(echo, Limits(connections=4), parser=parser) as served:
        response = await ask(served.port, post(b"hello"))
        assert (found(response), response.fields["connection"]) == (("", 0, 0), "close")


async def test_who_asks_whether_to_go_on_is_told_so(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served, connected(served.port) as (reader, writer):
        writer.write(get("/", "Content-Length: 5", "Expect: 100-Continue", method="POST"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert found(await receive(reader)) == ("hello", 5, 5)


async def test_a_client_that_waits_to_be_told_and_cannot_be_is_cut() -> None:
    async with serving(echo, LIMITS) as served, connected(served.port) as (reader, writer):
        writer.write(get("/", "Content-Length: 5", method="POST"))
        await until(lambda: any(each._body for each in served.server.connections))
        (connection,) = served.server.connections
        connection.pause_writing()  # as the transport does when the kernel takes no more
        assert await reader.read() == b""


async def test_what_is_compressed_comes_as_it_is(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        raw = post(b"\x1f\x8b\x08 and more", "/", "Content-Encoding: gzip", "Connection: close")
        assert found(await ask(served.port, raw)) == ("\x1f\x8b\x08 and ", 12, 12)


# In chunks


async def test_chunks_are_one_body_and_the_connection_ends_with_it(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        response = await ask(served.port, chunked(b"hello ", b"world", b"!" * 30_000))
        assert (found(response), response.fields["connection"]) == (("hello wo", 30_011, 30_011), "close")


@pytest.mark.parametrize("rest", [b"nonsense\x00\r\n\r\n", get("/smuggled"), b"\r\n"])
async def test_what_comes_after_the_last_chunk_is_dropped(rest: bytes, parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        assert found(await ask(served.port, chunked(b"hello") + rest)) == ("hello", 5, 5)
        assert (served.refused, served.failures) == ([], [])


async def test_chunks_of_a_byte_each_are_one_body(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        assert found(await ask(served.port, chunked(*[b"x"] * 20_000))) == ("x" * 8, 20_000, 20_000)


@pytest.mark.parametrize("chunks", [b"zz\r\nhello\r\n", b"5\r\nhello!\r\n", b"-5\r\nhello\r\n", b"5 \x00\r\n"])
async def test_malformed_chunks_are_a_bad_request(chunks: bytes, parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        response = await ask(served.port, get("/", "Transfer-Encoding: chunked", method="POST") + chunks)
        assert (response.status, response.code, served.refused) == (400, "BadRequest", ["malformed"])


@settings(max_examples=25)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), st.lists(st.integers(0, 2_000), max_size=6))
def test_a_body_is_the_same_wherever_the_network_cuts_it(pieces: list[bytes], cuts: list[int]) -> None:
    body = b"".join(pieces)

    async def sent(raw: bytes) -> tuple[str, int, int]:
        async with serving(echo, LIMITS) as served, connected(served.port) as (reader, writer):
            for start, end in pairwise([0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]):
                writer.write(raw[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            return found(await receive(reader))

    for raw in (chunked(*pieces), post(body)):
        assert asyncio.run(sent(raw)) == (body[:8].decode("latin-1"), len(body), len(body))


# Too long


@pytest.mark.parametrize("size", [2**20 + 1, 3 * 2**20])
async def test_of_a_body_that_is_too_long_the_beginning_is_kept_and_so_is_the_connection(
    size: int, parser: Parser
) -> None:
    async with serving(echo, LIMITS, parser=parser) as served, connected(served.port) as (reader, writer):
        for _ in range(2):
            writer.write(post(b"begin..." + b"x" * (size - 8)))
            assert found(await receive(reader)) == ("begin...", KEPT, size)


async def test_chunks_that_are_too_many_are_counted_and_the_beginning_is_kept(parser: Parser) -> None:
    async with serving(echo, LIMITS, parser=parser) as served:
        raw = chunked(b"begin...", *[b"x" * 2**16] * 40)
        assert found(await ask(served.port, raw)) == ("begin...", KEPT, 40 * 2**16 + 8)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_without_end_is_answered_and_cut(is_chunked: bool) -> None:
    async with serving(echo, LIMITS) as served, connected(served.port) as (reader, writer):
        head = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {10**12}"
        writer.write(get("/", head, method="POST") + (b"%x\r\n" % 10**9 if is_chunked else b""))
        writer.write(b"begin..." + b"x" * MOST)
        response = await receive(reader)
        assert response.fields["connection"] == "close"
        assert found(response)[:2] == ("begin...", KEPT)
        # What the kernel's buffers take does not count; a second of a fast sender would be hundreds of megabytes.
        assert await pour(writer, b"x" * 2**16) < 30_000_000


# Too slow


@in_virtual_time
async def test_a_body_that_does_not_come_gets_408_and_a_close() -> None:
    async with serving(echo, QUICK) as served:
        response = await ask(served.port, post(b"hello")[:-1])
        assert (response.status, response.code, served.refused) == (408, "RequestTimeout", ["slow"])


@in_virtual_time
async def test_a_body_that_trickles_in_does_not_move_its_deadline() -> None:
    async with serving(echo, QUICK) as served, connected(served.port) as (reader, writer):
        writer.write(get("/", "Content-Length: 5000", method="POST"))
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(HANG):
            while not answer.done():
                writer.write(b"" if served.refused else b"x")
                await asyncio.wait([answer], timeout=0.05)
        assert responses(answer.result())[0].status == 408


async def test_a_client_that_leaves_amid_its_body_is_forgotten() -> None:
    async with serving(echo, LIMITS) as served:
        async with connected(served.port) as (_, writer):
            writer.write(get("/", f"Content-Length: {LONG}", method="POST") + b"x")
            await until(lambda: any(each._body for each in served.server.connections))
        await until(lambda: not served.server.connections)
        assert (served.server._long, served.failures) == ([], [])


async def test_closing_waits_for_a_body_in_flight() -> None:
    async with serving(echo, LIMITS) as served, connected(served.port) as (reader, writer):
        writer.write(get("/", "Content-Length: 5", method="POST"))
        await until(lambda: any(each._body for each in served.server.connections))
        closing = asyncio.create_task(served.server.close())
        await asyncio.sleep(0)
        writer.write(b"hello")
        response = await receive(reader)
        assert (found(response), response.fields["connection"]) == (("hello", 5, 5), "close")
        assert await reader.read() == b""
        await closing


# Many at once


async def _stalled(stack: AsyncExitStack, served: Served, count: int) -> list[asyncio.StreamWriter]:
    """So many connections that each send a long body up to its last byte, in their order."""
    found, turns = list[asyncio.StreamWriter](), served.server._long
    for _ in range(count):
        _, writer = await stack.enter_async_context(connected(served.port))
        writer.write(post(b"x" * LONG)[:-1])
        found.append(writer)
        await until(lambda: len(turns) == len(found))
    return found


async def test_long_bodies_are_read_a_few_at_a_time_and_all_of_them_are_answered() -> None:
    most = 0

    def watch(request: Request) -> Answer:
        nonlocal most
        held = sum(len(each._body._kept) for each in served.server.connections if each._body)
        most = max(most, held + len(request.body))
        return echo(request)

    async with serving(watch, LIMITS) as served:
        raw = post(b"x" * 2**20, "/", "Connection: close")
        answers = await asyncio.gather(*(ask(served.port, raw) for _ in range(32)))
    assert {found(each) for each in answers} == {("x" * 8, 2**20, 2**20)}
    assert most <= LONG_ONES * 2**20


async def test_a_short_body_waits_for_no_long_one() -> None:
    async with serving(echo, LIMITS) as served, AsyncExitStack() as stack:
        await _stalled(stack, served, 2 * LONG_ONES)
        response = await ask(served.port, post(b"x" * SHORT, "/", "Connection: close"))
        assert found(response) == ("x" * 8, SHORT, SHORT)


async def test_a_long_body_is_read_when_one_before_it_is_done_or_gone() -> None:
    async with serving(echo, LIMITS) as served, AsyncExitStack() as stack:
        first, second, *_ = await _stalled(stack, served, LONG_ONES)
        waiting = [asyncio.create_task(ask(served.port, post(b"y" * LONG, "/", "Connection: close"))) for _ in range(2)]
        await until(lambda: len(served.server._long) == LONG_ONES + 2)
        assert not any(each.done() for each in waiting)
        first.write(b"x")
        second.transport.abort()
        assert {found(each) for each in await asyncio.gather(*waiting)} == {("y" * 8, LONG, LONG)}


async def test_who_waits_too_long_for_a_turn_gets_408() -> None:
    async with serving(echo, LIMITS) as served, AsyncExitStack() as stack:
        await _stalled(stack, served, LONG_ONES)
        async with connected(served.port) as (reader, writer):
            writer.write(post(b"x" * LONG))
            await until(lambda: len(served.server._long) == LONG_ONES + 1)
            served.server._long[-1].deadline = 0.0
            assert [each.status for each in responses(await reader.read())] == [408]
        assert served.refused == ["slow"]


async def test_who_leaves_while_it_waits_is_passed_over() -> None:
    async with serving(echo, LIMITS) as served, AsyncExitStack() as stack:
        first, *_ = await _stalled(stack, served, LONG_ONES)
        async with connected(served.port) as (_, writer):
            writer.write(post(b"x" * LONG))
            await until(lambda: len(served.server._long) == LONG_ONES + 1)
        waiting = asyncio.create_task(ask(served.port, post(b"y" * LONG, "/", "Connection: close")))
        await until(lambda: len(served.server._long) == LONG_ONES + 2)
        first.write(b"x")
        assert found(await waiting) == ("y" * 8, LONG, LONG)


async def test_a_bug_in_a_handler_gives_its_turn_away() -> None:
    def broken(request: Request) -> Answer:
        raise KeyError(request.size)

    async with serving(broken, LIMITS) as served:
        raws = [post(b"x" * LONG, "/", "Connection: close")] * (2 * LONG_ONES)
        answers = await asyncio.gather(*(ask(served.port, raw) for raw in raws))
        assert {each.status for each in answers} == {500}
        assert served.server._long == []


FRAGMENTS = [
    *(
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"0\r\n",
    ),
    *(
        b"hello",
        b"5\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"\x00",
        b"\xff",
        b"ffffffff\r\n",
    ),
]


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join), min_size=16, max_size=16))
def test_whatever_is_sent_gets_well_formed_answers_and_a_close(raws: list[bytes]) -> None:
    async def send_all() -> list[bytes]:
        limits = Limits(connections=64, body=2**20, head=0.25, arrival=0.1, idle=0.04)
        async with serving(echo, limits) as served:
            answers = await asyncio.gather(*(exchange(served.port, raw) for raw in raws))
            assert served.failures == []
            return answers

    for received in in_virtual_time(send_all)():
        assert {each.status for each in responses(b"".join(_without_continue(received)))} <= {200, 400, 408, 431}


def _without_continue(raw: bytes) -> Iterator[bytes]:
    yield from raw.split(b"HTTP/1.1 100 Continue\r\n\r\n")
