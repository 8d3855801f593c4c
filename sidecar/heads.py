"""What aiohttp's parser makes of the head of a request, and of a body that comes in chunks.

A head is complete when it is read here, so a parser reads it alone and is done with; and since clients send the same
bytes each time, what the last few came to is remembered. Equal bytes are found by a hash that nobody can guess, and so
in a time that says nothing of those that are not equal.
"""

import asyncio
from dataclasses import dataclass
from functools import lru_cache, partial

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from sidecar.contract import Request

# A head with a session token in it is under 4 KiB; 16 KiB is what common servers allow, and as much is read at once.
HEAD = 16384
# No client sends more than 15 header lines.
LINES = 100
# Of each listener: a pod has few clients, and the largest heads that can be sent come to three megabytes together.
REMEMBERED = 64
# The limit of the parser's own stream, which is emptied after every piece and so never reaches it.
_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head: `length` is that of its body in bytes, or None where it comes in chunks; `is_last` of its connection."""

    request: Request
    length: int | None
    is_last: bool


class Heads:
    """Reads heads; `parser` is aiohttp's, in C where that was built."""

    def __init__(self, loop: asyncio.AbstractEventLoop, parser: type[HttpRequestParser] = HttpRequestParser) -> None:
        bounded = partial(parser, max_line_size=HEAD, max_field_size=HEAD, max_headers=LINES, auto_decompress=False)
        self._new = partial(bounded, BaseProtocol(loop), loop, _AT_ONCE)
        self.read = lru_cache(maxsize=REMEMBERED)(self._read)

    def _read(self, head: bytes) -> Head:
        """One complete head; raises ValueError where it is malformed."""
        message, _ = _first(self._new(), head)
        if message.version not in ((1, 0), (1, 1)):
            raise ValueError("version")
        headers = {name.lower(): ", ".join(message.headers.getall(name)) for name in message.headers}
        return Head(
            request=Request(method=message.method, target=message.path, headers=headers),
            # The parser saw to it that it is one number. Its own payload is none where that is 2**64-1.
            length=None if message.chunked else int(headers.get("content-length", 0)),
            # HTTP/1.0 has no agreed way to keep a connection.
            is_last=message.should_close or message.upgrade or message.version < (1, 1),
        )

    def chunks(self, head: bytes) -> "Chunks":
        """What takes the chunks that come after that head apart."""
        parser = self._new()
        return Chunks(parser, _first(parser, head)[1])


class Chunks:
    """A body in chunks, piece by piece."""

    __slots__ = ("_parser", "_payload")

    def __init__(self, parser: HttpRequestParser, payload: StreamReader) -> None:
        self._parser, self._payload = parser, payload

    @property
    def is_whole(self) -> bool:
        """Whether the last one has come."""
        return self._payload.is_eof()

    def feed(self, data: bytes) -> bytes:
        """What `data` brings of the body; raises ValueError where it is malformed."""
        try:
            self._parser.feed_data(data)
        except HttpProcessingError as error:
            if not self.is_whole:  # else it is about what came after the last chunk
                raise ValueError("malformed") from error
        return self._payload.read_nowait()


def _first(parser: HttpRequestParser, head: bytes) -> tuple[RawRequestMessage, StreamReader]:
    try:
        [first], _, _ = parser.feed_data(head)
    except HttpProcessingError as error:
        raise ValueError("malformed") from error
    return first
