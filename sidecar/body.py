"""The body of a request while it comes: all of it, or how it begins where it is longer than anybody wants it."""

from sidecar.contract import Request
from sidecar.heads import Chunks, Head

# Every connection may have this many bytes at once; what is longer waits until it may be read.
SHORT = 65_536
# What is kept of a body that is too long: enough for an answer to name what was asked.
KEPT = 4096
# What is read of it for the sake of a kept connection; above that it is given up.
MOST = 8 * 2**20


class Body:
    """The body that comes after `head`, of which up to `most` bytes are wanted; by `chunks`, if it comes in such."""

    __slots__ = ("_chunks", "_head", "_kept", "_left", "_most", "_seen", "_size", "is_last")

    def __init__(self, head: Head, chunks: Chunks | None, most: int) -> None:
        self._head, self._chunks, self._most = head, chunks, most
        self._size = self._left = head.length or 0
        self._kept, self._seen = bytearray(), 0
        # Where the last chunk ends is known to the parser alone, so nothing can come after it.
        self.is_last = head.is_last or chunks is not None

    @property
    def is_long(self) -> bool:
        """Whether it may need more memory than every connection has."""
        return self._chunks is not None or SHORT < self._size <= self._most

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come, or as much as is read of any."""
        return (self._chunks.is_whole if self._chunks else not self._left) or self._seen > MOST

    @property
    def request(self) -> Request:
        """The request with its body."""
        head = self._head.request
        return Request(
            method=head.method, target=head.target, headers=head.headers, body=bytes(self._kept), size=self._size
        )

    def feed(self, data: bytes) -> bytes:
        """Takes its own of `data` and answers the rest; raises ValueError where chunks are malformed."""
        if self._chunks:
            piece, rest = self._chunks.feed(data), b""
            self._size += len(piece)
            self._seen += len(data)
        else:
            piece, rest = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self._seen += len(piece)
        self.is_last = self.is_last or self._seen > MOST
        self._kept += piece
        if self._size > self._most:
            del self._kept[KEPT:]
        return rest
