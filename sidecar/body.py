"""The body of a request while it comes: all of it, or how it begins where it is longer than anybody wants it."""

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader

from sidecar.contract import Request

# Every connection may have this many bytes at once; what is longer waits until it may be read.
SHORT = 65_536
# What is kept of a body that is too long: enough for an answer to name what was asked.
KEPT = 4096
# What is read of it for the sake of a kept connection; above that it is given up.
MOST = 8 * 2**20
# The limit of the parser's own stream, which is emptied after every piece and so never reaches it.
AT_ONCE = 2**20


class Body:
    """The body of `request`, of which up to `most` bytes are wanted; `parser` has read the head and gave `payload`."""

    __slots__ = ("_kept", "_left", "_most", "_parser", "_payload", "_request", "_seen", "_size", "is_last")

    def __init__(
        self, request: Request, payload: StreamReader, parser: HttpRequestParser, most: int, *, is_last: bool
    ) -> None:
        self._request, self._payload, self._parser, self._most = request, payload, parser, most
        length = request.headers.get("content-length")  # the parser saw to it that it is one number
        self._size = int(length or 0)
        self._left = self._size if length else None  # None: in chunks
        self._kept, self._seen = bytearray(), 0
        # Where the last chunk ends is known to the parser alone, so nothing can come after it.
        self.is_last = is_last or not length

    @property
    def is_long(self) -> bool:
        """Whether it may need more memory than every connection has."""
        return self._left is None or SHORT < self._size <= self._most

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come, or as much as is read of any."""
        return self._payload.is_eof() or self._seen > MOST

    @property
    def request(self) -> Request:
        """The request with its body."""
        head = self._request
        return Request(
            method=head.method, target=head.target, headers=head.headers, body=bytes(self._kept), size=self._size
        )

    def feed(self, data: bytes) -> bytes:
        """Takes its own of `data` and answers the rest; raises ValueError where chunks are malformed."""
        own, rest = (data, b"") if self._left is None else (data[: self._left], data[self._left :])
        try:
            self._parser.feed_data(own)
        except HttpProcessingError as error:
            if not self._payload.is_eof():  # else it is about what came after the last chunk
                raise ValueError("malformed") from error
        piece = self._payload.read_nowait()
        if self._left is None:
            self._size += len(piece)
        else:
            self._left -= len(own)
        self._seen += len(own)
        self.is_last = self.is_last or self._seen > MOST
        self._kept += piece
        if self._size > self._most:
            del self._kept[KEPT:]
        return rest
