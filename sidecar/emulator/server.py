"""The emulator as a server: STS and its OIDC provider on one loopback port, faults included."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from sidecar.emulator import wire
from sidecar.emulator.faults import Fault, Kind
from sidecar.emulator.hosts import StsHost, lookup
from sidecar.emulator.oidc import Issuer
from sidecar.emulator.proxy import Proxy
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.sessions import Keys, RoleSession, Vault
from sidecar.emulator.signature import HttpRequest, Signature
from sidecar.emulator.sts import Case, Granted, answer
from sidecar.emulator.world import World

MAX_CALLS: Final = 100_000  # the latest calls kept, about 50 MB: a bound, not a figure anyone should reach
MIN_ISSUED_LIFE: Final = 90.0  # seconds; below it the daemon would (rightly) call every session short
SLOW_PIECES: Final = 20  # a slow body comes in so many pieces
_NOISE: Final = bytes(range(256)) * 4  # no XML, no UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as STS saw it; `code` is None for a success, `at` unix seconds by the emulator's clock.

    `hop` is 1 for web identity, else one more than that of the session that signed; None where no known session did.
    `host` is the STS name the client used when it came through the proxy.
    """

    action: str
    hop: int | None
    role_arn: str | None
    session_name: str | None
    duration: int | None
    external_id: str | None
    source_identity: str | None
    signed_by: str | None
    region: str | None
    host: str | None
    code: str | None
    request_id: str
    at: float


class Emulator:
    """A strict STS on loopback: `async with Emulator(guide_world_or_factory) as sts: …`.

    `universe` is a World, or a function from the issuer's URL to one (the port is not known before the start).
    `wall` is the only clock there is; `entropy` the only source of chance. With `proxy=True` it is also an HTTPS
    CONNECT proxy for the public names of STS. Everything but the addresses may be changed while it runs.
    """

    def __init__(
        self,
        universe: World | Callable[[str], World],
        wall: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        proxy: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.wall = wall
        self.skew = 0.0
        self._fault, self._lifted = Fault.none(), asyncio.Event()
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self._universe = universe
        self._address = (host, port)
        self._proxied = proxy
        self._entropy = entropy
        self._vault = Vault()
        self._issued_life: float | None = None
        self._closing = asyncio.Event()
        self._stack = AsyncExitStack()

    @property
    def now(self) -> float:
        """Unix seconds by the emulator's own, possibly skewed, clock."""
        return self.wall() + self.skew

    @property
    def fault(self) -> Fault:
        """What goes wrong from now on; calls that are held go on when it is replaced."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault.kind is not Kind.HELD:
            self._lifted.set()
            self._lifted = asyncio.Event()

    @property
    def issuer(self) -> str:
        """The URL of the OIDC issuer."""
        return self.oidc.url

    @property
    def issued_life(self) -> float | None:
        """Seconds that a session lives at most although more was asked (≥ 90); None: as asked."""
        return self._issued_life

    @issued_life.setter
    def issued_life(self, seconds: float | None) -> None:
        if seconds is not None and seconds < MIN_ISSUED_LIFE:
            raise ValueError(f"issued_life is at least {MIN_ISSUED_LIFE} seconds (Fault.short issues less)")
        self._issued_life = seconds

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret access key and session token that was issued."""
        return self._vault.secrets()

    def session(self, access_key_id: str) -> RoleSession | None:
        """The session that was issued with this access key id, expired or not, or None."""
        return self._vault.find(access_key_id)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._lifted.set()
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_get("/oidc/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/oidc/keys", self._keys)
        app.router.add_route("*", "/", self._sts)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, *self._address)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        self.oidc = Issuer(url=f"{self.url}/oidc")
        self.world = self._universe if isinstance(self._universe, World) else self._universe(self.issuer)
        if self._proxied:
            self._proxy = await stack.enter_async_context(Proxy(runner, self._address[0]))

    @property
    def proxy_url(self) -> str:
        """The CONNECT proxy, for `HTTPS_PROXY`; only with `proxy=True`."""
        return self._proxy.url

    @property
    def ca_file(self) -> Path:
        """The proxy's throw-away certificate authority (PEM), for `AWS_CA_BUNDLE`; only with `proxy=True`."""
        return self._proxy.ca_file

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(self.oidc.discovery(), headers=self._date())

    async def _keys(self, request: web.Request) -> web.Response:
        return web.json_response(self.oidc.key_set(), headers=self._date())

    async def _sts(self, request: web.Request) -> web.StreamResponse:
        return await self._deliver(request, self._judge(await received(request), request.host))

    def _judge(self, http: HttpRequest, host: str) -> _Reply:
        parameters = wire.parameters(http.query, http.body)
        action = parameters.get("Action", "")
        sts_host, signature = lookup(host.partition(":")[0]), _signature(http)
        region = sts_host.region if sts_host else signature.region if signature else None
        fault = self._strike(action, region)
        reply = self._reply(action, self._case(http, sts_host, parameters, fault), fault)
        signer = None if signature is None else self._vault.find(signature.key)
        self.calls.append(
            Call(
                action=action,
                hop=1 if action == "AssumeRoleWithWebIdentity" else None if signer is None else signer.hop + 1,
                role_arn=parameters.get("RoleArn"),
                session_name=parameters.get("RoleSessionName"),
                duration=wire.integer(parameters, "DurationSeconds"),
                external_id=parameters.get("ExternalId"),
                source_identity=parameters.get("SourceIdentity"),
                signed_by=None if signature is None else signature.key,
                region=region,
                host=host if sts_host else None,
                code=reply.code,
                request_id=reply.request_id,
                at=self.now,
            )
        )
        return reply

    def _strike(self, action: str, region: str | None) -> Fault:
        fault = self.fault
        if not fault.meets(action, region):
            return Fault.none()
        self.fault = fault.spent()
        return fault

    def _case(self, http: HttpRequest, host: StsHost | None, parameters: Mapping[str, str], fault: Fault) -> Case:
        def lifetime(asked: int) -> float:
            if fault.kind is Kind.LIFETIME:
                return fault.seconds
            return asked if self.issued_life is None else min(asked, self.issued_life)

        return Case(
            world=self.world,
            issuer=self.oidc,
            vault=self._vault,
            now=self.now,
            host=host,
            http=http,
            parameters=parameters,
            draw=lambda: Keys.draw(self._entropy),
            lifetime=lifetime,
        )

    def _reply(self, action: str, case: Case, fault: Fault) -> _Reply:
        request_id = str(uuid.UUID(bytes=self._entropy(16), version=4))
        if fault.kind in _INSTEAD:
            return _instead(fault, request_id)
        try:
            granted = answer(action, case)
        except Refusal as no:
            body = wire.failure(no.code, no.message, no.status, request_id)
            return _Reply(request_id=request_id, kind=fault.kind, status=no.status, body=body, code=no.code)
        arn = fault.arn if fault.kind is Kind.IMPOSTOR and isinstance(granted, Granted) else None
        body = wire.success(action, granted, request_id, arn)
        code = fault.kind.value if fault.kind is Kind.TRUNCATED else None
        return _Reply(request_id=request_id, kind=fault.kind, body=body, code=code, seconds=fault.seconds)

    async def _deliver(self, request: web.Request, reply: _Reply) -> web.StreamResponse:
        headers = {**self._date(), "x-amzn-RequestId": reply.request_id, "Content-Type": "text/xml"}
        if reply.kind is Kind.HANG:
            await self._closing.wait()
        if reply.kind is Kind.HELD:
            await self._lifted.wait()
        if reply.kind in (Kind.HANG, Kind.RESET):
            _reset(request)
        if reply.kind in (Kind.SLOW, Kind.TRUNCATED):
            return await self._dribble(request, reply, headers)
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    async def _dribble(self, request: web.Request, reply: _Reply, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(reply.body)
        await response.prepare(request)
        if reply.kind is Kind.TRUNCATED:
            await response.write(reply.body[: len(reply.body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        size = -(-len(reply.body) // SLOW_PIECES)
        for start in range(0, len(reply.body), size):
            await asyncio.sleep(reply.seconds / SLOW_PIECES)
            await response.write(reply.body[start : start + size])
        return response

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(self.now, usegmt=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What goes out: a status and a body, and how it is delivered."""

    request_id: str
    kind: Kind = Kind.NONE
    status: int = 200
    body: bytes = b""
    code: str | None = None
    seconds: float = 0.0


_INSTEAD: Final = frozenset({Kind.ERROR, Kind.HTTP, Kind.HANG, Kind.RESET, Kind.GARBAGE, Kind.EMPTY})


async def received(request: web.Request) -> HttpRequest:
    """A whole request as it came in."""
    return HttpRequest(
        method=request.method,
        path=request.rel_url.raw_path,
        query=request.rel_url.raw_query_string,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
    )


def _instead(fault: Fault, request_id: str) -> _Reply:
    """The reply of a fault that comes before any judgement; recorded by AWS's code, the status or the fault's kind."""
    bodies = {
        Kind.ERROR: wire.failure(fault.code, fault.message, fault.status, request_id),
        Kind.HTTP: b"<html><body>upstream is not well</body></html>",
        Kind.GARBAGE: _NOISE,
    }
    code = fault.code or (str(fault.status) if fault.kind is Kind.HTTP else fault.kind.value)
    body = bodies.get(fault.kind, b"")
    return _Reply(request_id=request_id, kind=fault.kind, status=fault.status, body=body, code=code)


def _signature(http: HttpRequest) -> Signature | None:
    try:
        return Signature.read(http)
    except Refusal:
        return None


def _reset(request: web.Request) -> None:
    """End the connection with a RST: with zero linger the kernel throws the connection away."""
    if request.transport is not None:
        sock: socket.socket = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
