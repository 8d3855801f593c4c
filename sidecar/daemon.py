"""The daemon put together: what reads what, in which order things open, and in which they close.

    token files ─▶ refresher ─▶ a new ledger ─▶ endpoint, status, state directory
                       │
                       └─ events ─▶ log, metrics

Listeners open before the first walk, so that a workload that asks early is answered, and close last.
"""

import asyncio
import gc
import resource
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from socket import socket
from typing import Any

from sidecar import __version__, authorization, log
from sidecar.config import Authorization, Config
from sidecar.endpoint import Endpoint
from sidecar.errors import ConfigError, WalkError
from sidecar.events import Event, HandlerFailed, Listening, Observe, Started, Stopping
from sidecar.http import Handler, Limits, Server
from sidecar.ledger import Ledger, Picture, trouble
from sidecar.metrics import Metrics
from sidecar.model import Outside, Secret, Session
from sidecar.refresher import Assume, Refresher
from sidecar.sockets import bind_any, bind_loopback, shown
from sidecar.state import State
from sidecar.status import Status
from sidecar.sts import Sts

# Every SDK of every container of a pod, with a pool each, is far below; the status port is kubelet's and Prometheus's.
CREDENTIAL_CONNECTIONS, STATUS_CONNECTIONS = 1024, 64
# Both, what each listener closes at leisure, and a few dozen for STS, the log and Python.
OPEN_FILES = 2048
# Seconds from open listeners to the one full collection of garbage: it takes 50 ms, and the first walk comes before.
SETTLED = 2.0


async def once(config: Config, outside: Outside, name: str | None = None) -> Session:
    """The session that one walk of the target `name` (the first, if None) yields.

    Raises:
        WalkError: a hop failed, or there is no token to walk with.
        ConfigError: there is no such target.
    """
    target = config.target(name)
    level = "warning" if config.log_level == "info" else config.log_level
    async with Sts(outside.wall) as sts:
        observe = log.subscriber(level, config.log_format)
        refresher = Refresher([target], sts.assume, outside, ledger=Ledger(), publish=lambda _: None, observe=observe)
        await refresher.settle()
    session, wrong = refresher.ledger.of(target.hop).session, trouble(refresher.ledger, target)
    if session:
        return session
    assert wrong is not None, "a walk ends with a session or with a failure"
    raise WalkError(wrong.hop.position, wrong.hop.role.arn, wrong.failure.code, wrong.failure.hint)


async def run(config: Config, outside: Outside) -> int:
    """Serves until SIGTERM or SIGINT; answers the exit code. Raises ConfigError where it cannot begin."""
    _limit_files()
    async with Sts(outside.wall) as sts:
        daemon = Daemon(config, outside, sts.assume, log.subscriber(config.log_level, config.log_format))
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.set_exception_handler(daemon.caught)
        loop.add_signal_handler(signal.SIGHUP, daemon.refresher.ask)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await daemon.serve(stop)
    return 0


class Daemon:
    """One process's worth of rooms, wired; `serve` is its life."""

    def __init__(self, config: Config, outside: Outside, assume: Assume, observe: Observe) -> None:
        self._config, self._outside, self._log, self._is_stopping = config, outside, observe, False
        self._state = State(config.state_dir, boot=outside.boot, observe=self._observe) if config.state_dir else None
        self.metrics = Metrics(config.targets, self._look)
        ledger = self._state.restore(config.targets, outside.clock()) if self._state else Ledger()
        self.refresher = Refresher(
            config.targets, assume, outside, ledger=ledger, publish=self._publish, observe=self._observe
        )
        self._endpoint = Endpoint(config.targets, self._tokens(), outside.clock, self.metrics)
        self._status = Status(config.targets, __version__, self._look, self.metrics.render)
        self._publish(ledger)

    async def serve(self, stop: asyncio.Event) -> None:
        """Opens the listeners, refreshes until `stop`, drains, and closes the listeners last."""
        credentials, status = self._sockets()
        names = tuple(target.name for target in self._config.targets)
        self._observe(Started(version=__version__, targets=names, warnings=self._config.warnings))
        serving = self._server("credentials", self._endpoint.handle, CREDENTIAL_CONNECTIONS, self.metrics.refused)
        telling = self._server("status", self._status.handle, STATUS_CONNECTIONS, lambda _: None)
        for server, face, sockets in ((serving, "credentials", credentials), (telling, "status", status)):
            addresses = tuple(shown(*sock.getsockname()[:2]) for sock in sockets)
            await server.start(sockets)
            self._observe(Listening(face=face, addresses=addresses))
        asyncio.get_running_loop().call_later(SETTLED, _settle)
        try:
            await self._refresh_until(stop)
        finally:
            await telling.close()
            await serving.close()

    async def _refresh_until(self, stop: asyncio.Event) -> None:
        refreshing = asyncio.create_task(self.refresher.run(), name="refresher")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({refreshing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if refreshing.done():
                refreshing.result()  # it ends by a bug alone: crash with it
            self._is_stopping = True
            self._observe(Stopping(drain=self._config.drain))
            await asyncio.wait({refreshing}, timeout=self._config.drain)
        finally:
            refreshing.cancel()
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing

    def caught(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """What the event loop caught: a bug, reported by type and place."""
        self._failed("event loop", context.get("exception") or RuntimeError(context.get("message", "")))

    def _failed(self, face: str, error: BaseException) -> None:
        where = log.whereabouts(error).partition(" at ")[2]
        self._observe(HandlerFailed(face=face, error=type(error).__name__, where=where))

    def _observe(self, event: Event) -> None:
        self._log(event)
        self.metrics.observe(event)

    def _publish(self, ledger: Ledger) -> None:
        self._endpoint.publish(ledger)
        if self._state:
            self._state.keep(ledger)

    def _look(self) -> Picture:
        return self.refresher.look(is_stopping=self._is_stopping)

    def _tokens(self) -> Mapping[str, Secret] | None:
        config, names = self._config, [target.name for target in self._config.targets]
        if config.authorization is Authorization.NONE:
            return None
        folder, source = config.authorization_dir, config.origins["SIDECAR_AUTHORIZATION_DIR"].source
        return authorization.provide(folder, names, self._outside.random_token, source, config.authorization_token)

    def _sockets(self) -> tuple[list[socket], list[socket]]:
        listen, status = self._config.listen, self._config.status_listen
        credentials = bind_loopback(listen.host, listen.port, **_blame(self._config, "SIDECAR_LISTEN"))
        try:
            blame = _blame(self._config, "SIDECAR_STATUS_LISTEN")
            return credentials, bind_any(status.host, status.port, **blame)
        except ConfigError:
            credentials[0].close()
            raise

    def _server(self, face: str, handler: Handler, connections: int, refused: Callable[[str], None]) -> Server:
        limits = Limits(connections=connections)
        return Server(handler, limits, refused=refused, failed=lambda error: self._failed(face, error))


def _blame(config: Config, setting: str) -> dict[str, str]:
    """What to name where `setting` turns out not to work: itself, and where it comes from."""
    return {"setting": setting, "source": config.origins[setting].source}


def _settle() -> None:
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again


def _limit_files() -> None:
    """No core file, which would hold every secret, and room for every connection: many hosts allow 1,024 files.

    A limit of one byte also stops kernels that pipe cores to a program; zero, which does not, is what remains where
    the limit may not be raised to it.
    """
    for limit in (1, 0):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
            break
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES and soft != resource.RLIM_INFINITY:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
