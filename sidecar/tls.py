"""TLS for one connection: a protocol to the transport below it, a transport to the protocol above it.

asyncio's own is not used: it tells of a connection only after its handshake, so that no limit holds those that never
make one; it takes 256 KiB for each; and it cannot close one half, so that a reset may overtake the last answer.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, Protocol, cast

# What is written: nothing before the handshake, nothing after the last answer.
_Stage = Enum("_Stage", ["HANDSHAKE", "OPEN", "ENDED"])


class Tls(Protocol):
    """What a listener needs to speak TLS."""

    def context(self) -> ssl.SSLContext:
        """The context of the next connection."""

    def failed(self, reason: str) -> None:
        """Told why a connection failed, in OpenSSL's word: for a client's alert, or for what it sent instead of TLS."""


class Secure(asyncio.BufferedProtocol, asyncio.Transport):
    """Between the kernel's transport and `above`. `buffer` is shared by all connections: nothing stays in it.

    `above` is told of the connection before its handshake, so that it can count and end it.
    """

    __slots__ = (
        "_above",
        "_below",
        "_buffer",
        "_held",
        "_incoming",
        "_is_paused",
        "_object",
        "_outgoing",
        "_stage",
        "_tls",
    )

    _below: asyncio.Transport

    def __init__(self, tls: Tls, above: asyncio.BufferedProtocol, buffer: memoryview) -> None:
        super().__init__()
        self._tls, self._above, self._buffer = tls, above, buffer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = tls.context().wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._stage, self._is_paused = _Stage.HANDSHAKE, False
        self._held: list[Callable[[], None]] = []  # what waits for the handshake

    # What the transport below tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._below = transport
        self._above.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._above.connection_lost(exc)
        self._held.clear()
        del self._above  # circles otherwise, which keep OpenSSL's buffers until somebody collects garbage

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._stage is _Stage.ENDED:
            return self._above.buffer_updated(nbytes)  # which only counts what still comes
        self._incoming.write(self._buffer[:nbytes])
        self._turn()

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    # What the protocol above asks for

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends; what is written during the handshake is sent after it."""
        if self._stage is _Stage.HANDSHAKE:
            self._held.append(partial(self.write, data))
        elif not self.is_closing():
            left = memoryview(data)
            while left:
                left = left[self._object.write(left) :]
            self._flush()

    def write_eof(self) -> None:
        """Says that nothing more comes, in TLS and in TCP; what the other side still sends is not decrypted."""
        if self._stage is _Stage.HANDSHAKE:
            self._held.append(self.write_eof)
        elif not self.is_closing():
            self._part()
            self._below.write_eof()

    def close(self) -> None:
        if self._stage is _Stage.OPEN and not self.is_closing():
            self._part()
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._below.resume_reading()
        asyncio.get_running_loop().call_soon(self._turn)  # not at once: whoever resumes is amid something

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    # Between the two

    def _turn(self) -> None:
        """Goes on with the handshake, or hands over what was encrypted for as long as it is taken."""
        if self.is_closing():
            return
        try:
            if self._stage is _Stage.HANDSHAKE:
                self._shake_hands()
            self._read()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._tls.failed(error.reason)
            self._below.close()

    def _shake_hands(self) -> None:
        self._object.do_handshake()
        self._stage = _Stage.OPEN
        self._flush()
        held, self._held = self._held, []
        for each in held:
            each()

    def _read(self) -> None:
        while self._stage is _Stage.OPEN and not self._is_paused and not self.is_closing():
            if not (self._incoming.pending or self._object.pending()):
                return
            count = cast(int, self._object.read(len(self._buffer), self._buffer))  # what it is with a buffer
            if not count:  # the other side's farewell
                return self.close()
            self._above.buffer_updated(count)

    def _part(self) -> None:
        self._stage = _Stage.ENDED
        with suppress(ssl.SSLError):  # it wants the other side's farewell, too
            self._object.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())
