"""The one hardened server: deadlines, bounds and JSON errors for every listener.

A connection is in one of seven states, and a deadline stands behind each:

                      ┌──with a body──▶ QUEUED ──▶ BODY ──whole──┐
                      │                                          ▼
    IDLE ──bytes──▶ HEAD ──complete────────────────────────▶ ANSWERING ──▶ WRITING ──▶ IDLE
      │               │ malformed, oversized, slow: so too a body               │ last answer
      └──closed       └──────────────────────▶ LINGERING ◀──────────────────────┘

aiohttp's parser reads one head at a time, and chunks. Its server is not used: that makes a task for each request,
answers errors as text and logs them with a traceback. Where `Limits.body` is 0 a head is everything that is read: a
request that announces a body is answered and its connection closed, after the bytes under way are dropped, so that no
reset overtakes the answer. Else the body of a POST is read: a short one at once, long ones a few at a time, so that all
of them together are bounded, and of one that is too long the beginning is kept, for an answer on its merits.

The server does not know what is served, and logs nothing: it tells of refusals and of a handler's exceptions.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from math import inf

from sidecar.body import Body
from sidecar.contract import BROKEN, Answer, Refusal, Request
from sidecar.heads import HEAD, LINES, Heads
from sidecar.tls import Secure, Tls

Handler = Callable[[Request], Answer | Awaitable[Answer]]

# What a closed connection may still have under way, and for how long it is waited for.
DREGS, LINGER = 65536, 1.0
# Long bodies that are read at once; the others wait for their turn.
LONG_ONES = 4
# Connections above the limit that are told so at leisure; those above that are closed without waiting for their bytes.
SPARE = 64
# A burst waits in the kernel: a connection request that finds no room there is repeated only a second later.
BACKLOG = 1024

_END = re.compile(rb"\r?\n\r?\n")
# What no head holds (TLS begins with one): without this a client that speaks another protocol waits for the deadline.
_FOREIGN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CLOSE, _CONTINUE = b"Connection: close\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections, bytes of a body (0: none is read), and seconds: to send a head, to send a body, between
    requests, to produce and to take an answer.

    Clients keep a connection for up to a minute, and one that the server closes first costs them an error.
    """

    connections: int
    body: int = 0
    head: float = 5.0
    arrival: float = 5.0
    idle: float = 75.0
    answer: float = 5.0


# Where a connection stands.
State = Enum("State", ["IDLE", "HEAD", "QUEUED", "BODY", "ANSWERING", "WRITING", "LINGERING"])


class _Connection(asyncio.BufferedProtocol):
    __slots__ = ("_body", "_received", "_server", "_spare", "_state", "_task", "deadline", "transport")

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self._server, self._state, self._received, self._spare = server, State.IDLE, b"", DREGS
        self._task: asyncio.Task[None] | None = None
        self._body: Body | None = None
        self.deadline = inf

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # hear at once of a reader that does not keep up
        others = self._server.made(self)
        # A first request comes with its connection: a silent one is as suspect as a slow one.
        self._enter(State.HEAD, self._server.limits.head)
        if others >= self._server.limits.connections:
            self._refuse(Refusal.CROWDED)
        if others >= self._server.limits.connections + SPARE:
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.lost(self)
        if self._task is not None:
            self._task.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._state is State.LINGERING:
            self._spare -= nbytes
            if self._spare < 0:
                self.transport.abort()
            return
        seen = len(self._received)
        self._received += self._server.buffer[:nbytes]
        self._advance(seen)

    def pause_writing(self) -> None:
        if self._state is State.BODY:  # there is no room for the line that it waits for
            self.transport.abort()
        elif self._state is not State.LINGERING:
            self._enter(State.WRITING, self._server.limits.answer)
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._state is State.WRITING:
            self._proceed()

    # What the server tells

    def expire(self) -> None:
        """The deadline of the state has passed."""
        if (self._state is State.HEAD and self._received) or self._state in (State.QUEUED, State.BODY):
            self._refuse(Refusal.SLOW)
        else:
            self.transport.abort()

    def admitted(self) -> None:
        """It is this connection's turn to send a long body."""
        if self._state is State.QUEUED and not self.transport.is_closing():
            self._enter(State.BODY, self._server.limits.arrival)
            self.transport.resume_reading()
            self._advance()

    def retire(self) -> None:
        """The server closes: at once where nothing is under way, else after the answer."""
        if self._state is State.IDLE or (self._state is State.HEAD and not self._received):
            self.transport.close()

    # From one request to the next

    def _enter(self, state: State, seconds: float) -> None:
        self._state = state
        self.deadline = self._server.loop.time() + seconds

    def _advance(self, seen: int = 0) -> None:
        """Answer every complete request; `seen` bytes of the first head have been searched before."""
        while self._received and not self.transport.is_closing():
            if self._state is State.BODY:
                self._gather()
                continue
            if self._state not in (State.IDLE, State.HEAD):
                return
            end = _END.search(self._received, max(seen - 3, 0))
            if end is None or end.end() > HEAD:
                return self._wait()
            head, self._received, seen = self._received[: end.end()], self._received[end.end() :], 0
            self._respond(head.lstrip(b"\r\n"))

    def _wait(self) -> None:
        """A head that is not complete: for as long as it can become one."""
        if len(self._received) > HEAD or self._received.count(b"\n") > LINES:
            self._refuse(Refusal.OVERSIZED)
        elif _FOREIGN.search(self._received):
            self._refuse(Refusal.MALFORMED)
        elif self._state is State.IDLE:
            self._enter(State.HEAD, self._server.limits.head)

    def _respond(self, received: bytes) -> None:
        if not received:  # an empty line before a request is tolerated
            return
        try:
            head = self._server.heads.read(received)
        except ValueError:
            return self._refuse(Refusal.OVERSIZED if received.count(b"\n") > LINES else Refusal.MALFORMED)
        most = self._server.limits.body
        if head.length == 0:
            self._answer(head.request, is_last=head.is_last)
        elif most and head.request.method == "POST":
            self._expect(Body(head, None if head.length else self._server.heads.chunks(received), most), head.request)
        else:
            self._answer(head.request, is_last=True)

    def _expect(self, body: Body, request: Request) -> None:
        """A body comes: when it is its turn, where it is a long one."""
        self._body = body
        self._enter(State.BODY, self._server.limits.arrival)
        if not self._received and request.headers.get("expect", "").lower() == "100-continue":
            self.transport.write(_CONTINUE)
        if body.is_long and not self._server.admit(self):
            self._state = State.QUEUED
            self.transport.pause_reading()

    def _gather(self) -> None:
        assert self._body is not None
        try:
            self._received = self._body.feed(self._received)
        except ValueError:
            return self._refuse(Refusal.MALFORMED)
        if self._body.is_whole:
            body, self._body = self._body, None
            self._answer(body.request, is_last=body.is_last)
            self._server.release(self)

    def _answer(self, request: Request, *, is_last: bool) -> None:
        try:
            answer = self._server.handler(request)
        except Exception as error:  # noqa: BLE001 -- a bug in one answer must not end the serving of the others
            self._server.failed(error)
            answer = BROKEN
        if isinstance(answer, Answer):
            self._enter(State.IDLE, self._server.limits.idle)
            self._send(answer, request.method, is_last)
        else:
            self._enter(State.ANSWERING, self._server.limits.answer)
            self.transport.pause_reading()
            self._task = self._server.loop.create_task(self._await(answer, request.method, is_last))

    async def _await(self, pending: Awaitable[Answer], method: str, is_last: bool) -> None:
        try:
            answer = await pending
        except Exception as error:  # noqa: BLE001 -- a bug in one answer must not end the serving of the others
            self._server.failed(error)
            answer = BROKEN
        self._task, self._state = None, State.IDLE
        self._send(answer, method, is_last)
        if self._state is State.IDLE:
            self._proceed()

    def _proceed(self) -> None:
        """An answer is out: the next request."""
        self._enter(State.IDLE, self._server.limits.idle)
        self.transport.resume_reading()
        self._advance()
        if self._server.is_closing:
            self.retire()

    def _send(self, answer: Answer, method: str, is_last: bool) -> None:
        is_last = is_last or self._server.is_closing
        end = _CLOSE if is_last else b"\r\n"
        self.transport.write(answer.fields + end + (b"" if method == "HEAD" else answer.body))
        if is_last:
            self._enter(State.LINGERING, LINGER)
            self._received = b""
            if not self.transport.is_closing():
                self.transport.write_eof()
                self.transport.resume_reading()

    def _refuse(self, refusal: Refusal) -> None:
        self._server.refused(refusal)
        self._server.release(self)
        self._send(refusal.answer, "", is_last=True)


class Server:
    """Answers requests on listening sockets with `handler`, which must not block and answers within the limits.

    `refused` is told the reason of every refusal, `failed` what a handler raised: a bug. It is made in its event loop.
    """

    def __init__(
        self, handler: Handler, limits: Limits, *, refused: Callable[[str], None], failed: Callable[[Exception], None]
    ) -> None:
        self.handler, self.limits, self.refused, self.failed = handler, limits, refused, failed
        self.loop = asyncio.get_running_loop()
        self.heads = Heads(self.loop)
        # One buffer for all: what arrives is copied out of it before anything else is read.
        self.buffer = memoryview(bytearray(HEAD))
        self.is_closing = False
        self.connections: set[_Connection] = set()
        self._long: list[_Connection] = []  # who sends a long body or waits for it, in the order of their turns
        self._listeners: list[asyncio.Server] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def start(self, sockets: Sequence[socket.socket], tls: Tls | None = None) -> None:
        """Accept connections on `sockets`, which now belong to the server; with `tls`, each begins with its handshake.

        The handshake has no time of its own: it is made within that of the first head.
        """

        def accept() -> asyncio.BufferedProtocol:
            connection = _Connection(self)
            return Secure(tls, connection, self.buffer) if tls else connection

        for sock in sockets:
            # Inherited by every connection: an answer does not wait for the acknowledgement of the one before.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener = await self.loop.create_server(accept, sock=sock, backlog=BACKLOG)
            self._listeners.append(listener)

    def retire(self) -> None:
        """From now on every answer is the last of its connection."""
        self.is_closing = True

    async def close(self) -> None:
        """Finish the requests in flight, close every connection, and the listeners last."""
        self.retire()
        self._empty.clear()
        for connection in tuple(self.connections):
            connection.retire()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.answer):
                if self.connections:
                    await self._empty.wait()
        if self._sweeping:
            self._sweeping.cancel()
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.transport.abort()
        for listener in self._listeners:
            await listener.wait_closed()

    def made(self, connection: _Connection) -> int:
        """Watch over a new connection; how many others there are."""
        self.connections.add(connection)
        if self._sweeping is None:
            self._sweep()
        return len(self.connections) - 1

    def admit(self, connection: _Connection) -> bool:
        """Whether there is room for one more long body; else the connection is `admitted` when there is."""
        self._long.append(connection)
        return len(self._long) <= LONG_ONES

    def release(self, connection: _Connection) -> None:
        """Its long body is done with, if it had one: whose turn is it?"""
        if connection in self._long:
            place = self._long.index(connection)
            self._long.remove(connection)
            if place < LONG_ONES <= len(self._long):
                self.loop.call_soon(self._long[LONG_ONES - 1].admitted)

    def lost(self, connection: _Connection) -> None:
        """Forget a connection that is closed."""
        self.release(connection)
        self.connections.discard(connection)
        if self.is_closing and not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        """One timer for all deadlines, while there are any: a request sets a number, not a timer of its own."""
        self._sweeping, now = None, self.loop.time()
        for connection in tuple(self.connections):
            if now >= connection.deadline:
                connection.expire()
        if self.connections:
            tick = min(self.limits.head, self.limits.arrival, self.limits.idle, self.limits.answer, LINGER) / 4
            self._sweeping = self.loop.call_later(tick, self._sweep)
