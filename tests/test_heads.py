"""Heads of requests by values: what they say, what is remembered of them, and the chunks that come after."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from sidecar.heads import REMEMBERED, Heads

pytestmark = pytest.mark.parametrize("parser", [HttpRequestParser, HttpRequestParserPy], ids=["c", "python"])
Parser = type[HttpRequestParser]


def raw(*lines: str, first: str = "POST /v1/pods?timeout=5s HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, "Host: localhost", *lines, "")).encode()


async def heads(parser: Parser) -> Heads:
    return Heads(asyncio.get_running_loop(), parser)


async def test_a_head_says_method_target_and_headers(parser: Parser) -> None:
    head = (await heads(parser)).read(raw("X-Two: a", "x-two: b"))
    assert (head.request.method, head.request.target) == ("POST", "/v1/pods?timeout=5s")
    assert head.request.headers == {"host": "localhost", "x-two": "a, b"}
    assert (head.request.body, head.request.size) == (b"", 0)
    assert "localhost" not in repr(head)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 7",), 7),
        ((f"Content-Length: {2**64 - 1}",), 2**64 - 1),  # of this one aiohttp's parser in C says that there is none
        (("Transfer-Encoding: chunked",), None),
    ],
)
async def test_a_head_says_how_long_its_body_is(parser: Parser, lines: tuple[str, ...], length: int | None) -> None:
    assert (await heads(parser)).read(raw(*lines)).length == length


@pytest.mark.parametrize(
    ("first", "lines", "is_last"),
    [
        ("GET / HTTP/1.1", (), False),
        ("GET / HTTP/1.1", ("Connection: keep-alive",), False),
        ("GET / HTTP/1.1", ("Connection: close",), True),
        ("GET / HTTP/1.1", ("Connection: Upgrade", "Upgrade: websocket"), True),
        ("GET / HTTP/1.0", (), True),
        ("GET / HTTP/1.0", ("Connection: keep-alive",), True),
    ],
)
async def test_a_head_says_whether_it_is_its_connections_last(
    parser: Parser, first: str, lines: tuple[str, ...], is_last: bool
) -> None:
    assert (await heads(parser)).read(raw(*lines, first=first)).is_last is is_last


async def test_the_same_bytes_are_read_once_and_others_by_themselves(parser: Parser) -> None:
    read = (await heads(parser)).read
    one = read(raw("Content-Length: 7"))
    assert read(raw("Content-Length: 8")).length == 8
    assert read(raw("Content-Length: 7")) is one


async def test_no_more_than_so_many_are_remembered(parser: Parser) -> None:
    read = (await heads(parser)).read
    first = read(raw("X-Number: 0"))
    for number in range(1, REMEMBERED):
        read(raw(f"X-Number: {number}"))
    assert read(raw("X-Number: 0")) is first
    for number in range(1, REMEMBERED + 1):
        read(raw(f"X-Number: {number}"))
    assert read(raw("X-Number: 0")) is not first


@pytest.mark.parametrize(
    "wrong",
    [
        raw(first="GET / HTTP/1.2"),
        raw(first="GET / HTTP/2.0"),
        raw(first="nothing"),
        raw("Content-Length: 1", "Content-Length: 2"),
        raw("Content-Length: +1"),
        raw("Content-Length: 1", "Transfer-Encoding: chunked"),
        raw("a b: c"),
    ],
)
async def test_what_is_malformed_is_so_each_time(parser: Parser, wrong: bytes) -> None:
    known = await heads(parser)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"malformed|version"):
            known.read(wrong)
    assert known.read(raw()).request.method == "POST"


async def test_chunks_are_taken_apart_also_where_two_bodies_come_at_once(parser: Parser) -> None:
    known = await heads(parser)
    one, other = (known.chunks(raw("Transfer-Encoding: chunked")) for _ in range(2))
    assert (one.feed(b"3\r\nab"), one.is_whole) == (b"ab", False)
    assert (other.feed(b"1\r\nx\r\n0\r\n\r\n"), other.is_whole) == (b"x", True)
    assert (one.feed(b"c\r\n0\r\n\r\n"), one.is_whole) == (b"c", True)


async def test_malformed_chunks_are_told(parser: Parser) -> None:
    with pytest.raises(ValueError, match="malformed"):
        (await heads(parser)).chunks(raw("Transfer-Encoding: chunked")).feed(b"nonsense\r\n")
