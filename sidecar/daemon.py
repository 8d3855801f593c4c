"""The daemon put together: what reads what, in which order things open, and in which they close.

    token files ─▶ refresher ─▶ a new ledger ─▶ endpoint and other faces, status, state directory
                       │
                       └─ events ─▶ log, metrics, recent ─▶ status

Listeners open before the first walk, so that a workload that asks early is answered, and close last.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from socket import socket

from sidecar import __version__, authorization, files, log, process
from sidecar.config import Address, Authorization, Config
from sidecar.credentials_file import CredentialsFile, Place
from sidecar.endpoint import Endpoint
from sidecar.errors import WalkError
from sidecar.events import Event, Listening, Observe, Started, Stopping
from sidecar.http import Handler, Limits, Server
from sidecar.imds import Imds
from sidecar.ledger import Ledger, Picture, trouble
from sidecar.metrics import Metrics
from sidecar.model import Outside, Secret, Session
from sidecar.recent import Recent
from sidecar.refresher import Assume, Refresher
from sidecar.sockets import bind_any, bind_loopback, shown
from sidecar.state import State
from sidecar.status import Status
from sidecar.sts import Sts

# Every SDK of every container of a pod, with a pool each, is far below; the status port is kubelet's and Prometheus's.
CREDENTIAL_CONNECTIONS, STATUS_CONNECTIONS = 1024, 64


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
    process.limit_files()
    async with Sts(outside.wall) as sts:
        daemon = Daemon(config, outside, sts.assume, log.subscriber(config.log_level, config.log_format))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.refresher.ask)
        await daemon.serve(process.begin(daemon.bugs))
    return 0


@dataclass(frozen=True, slots=True)
class _Face:
    """What listens: its name, where and by which setting, how it binds, and what answers how many connections."""

    name: str
    listen: Address
    setting: str
    bind: Callable[..., list[socket]]
    handle: Handler
    connections: int
    refused: Callable[[str], None]


class Daemon:
    """One process's worth of rooms, wired; `serve` is its life."""

    def __init__(self, config: Config, outside: Outside, assume: Assume, observe: Observe) -> None:
        self._config, self._outside, self._log, self._is_stopping = config, outside, observe, False
        self.bugs = process.Bugs(outside.clock, self._observe)
        self._recent = Recent(outside.wall)
        self._state = State(config.state_dir, boot=outside.boot, observe=self._observe) if config.state_dir else None
        self.metrics = Metrics(config.targets, self._look)
        ledger = self._state.restore(config.targets, outside.clock()) if self._state else Ledger()
        self.refresher = Refresher(
            config.targets, assume, outside, ledger=ledger, publish=self._publish, observe=self._observe
        )
        self._endpoint = Endpoint(config.targets, self._tokens(), outside.clock, self.metrics)
        self._imds = self._instance_metadata()
        self._file: CredentialsFile | None = None
        self._status = Status(config.targets, __version__, self._look, self.metrics.render, self._recent.told)
        self._show(ledger)

    async def serve(self, stop: asyncio.Event) -> None:
        """Opens the listeners, refreshes until `stop`, drains, and closes the listeners last, credentials after all."""
        with ExitStack() as stack:
            bound = [(face, self._bound(face, stack)) for face in self._faces()]
            self._file = self._credentials_file()  # whoever has the ports has the file
            stack.pop_all()
        names = tuple(target.name for target in self._config.targets)
        self._observe(Started(version=__version__, targets=names, warnings=self._config.warnings))
        servers = []
        for face, sockets in bound:
            servers.append(self._server(face))
            addresses = tuple(shown(*sock.getsockname()[:2]) for sock in sockets)
            await servers[-1].start(sockets)
            self._observe(Listening(face=face.name, addresses=addresses))
        process.settle_soon()
        try:
            await self._refresh_until(stop)
        finally:
            for server in reversed(servers):
                await server.close()

    async def _refresh_until(self, stop: asyncio.Event) -> None:
        working = [asyncio.create_task(self.refresher.run(), name="refresher")]
        if self._file:
            working.append(asyncio.create_task(self._file.run(), name="credentials file"))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*working, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in working:
                if task.done():
                    task.result()  # it ends by a bug alone: crash with it
            self._is_stopping = True
            self._observe(Stopping(drain=self._config.drain))
            await asyncio.wait(working, timeout=self._config.drain, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (*working, stopping):
                each.cancel()
            for task in working:
                with suppress(asyncio.CancelledError):
                    await task

    def _observe(self, event: Event) -> None:
        self._log(event)
        self.metrics.observe(event)
        self._recent.observe(event)

    def _publish(self, ledger: Ledger) -> None:
        self._show(ledger)
        if self._file:
            self._file.publish(ledger)
        if self._state:
            self._state.keep(ledger)

    def _show(self, ledger: Ledger) -> None:
        self._endpoint.publish(ledger)
        if self._imds:
            self._imds.publish(ledger)

    def _look(self) -> Picture:
        return self.refresher.look(is_stopping=self._is_stopping)

    def _tokens(self) -> Mapping[str, Secret] | None:
        config, names = self._config, [target.name for target in self._config.targets]
        if config.authorization is Authorization.NONE:
            return None
        folder, source = config.authorization_dir, config.origins["SIDECAR_AUTHORIZATION_DIR"].source
        return authorization.provide(folder, names, self._outside.random_token, source, config.authorization_token)

    def _instance_metadata(self) -> Imds | None:
        if self._config.imds_listen is None:
            return None
        outside, key = self._outside, Secret(self._outside.random_token())
        target, tokens = self._config.targets[0], self._config.imds_tokens
        return Imds(target, tokens, key, clock=outside.clock, wall=outside.wall, meter=self.metrics)

    def _credentials_file(self) -> CredentialsFile | None:
        config = self._config
        if config.credentials_file is None:
            return None
        mode, owner = config.credentials_file_mode, config.credentials_file_owner or files.OURS
        source = config.origins["SIDECAR_CREDENTIALS_FILE"].source
        place = Place(path=config.credentials_file, mode=mode, owner=owner, source=source)
        file = CredentialsFile(place, config.targets, self._outside.clock, self._observe)
        file.begin(self.refresher.ledger)
        return file

    def _faces(self) -> Iterator[_Face]:
        """What listens, in the order in which it opens; the status last: whoever finds it open finds the rest."""
        config, most, refused = self._config, CREDENTIAL_CONNECTIONS, self.metrics.refused
        yield _Face("credentials", config.listen, "SIDECAR_LISTEN", bind_loopback, self._endpoint.handle, most, refused)
        if self._imds and config.imds_listen:
            where = config.imds_listen
            yield _Face("imds", where, "SIDECAR_IMDS_LISTEN", bind_loopback, self._imds.handle, most, refused)
        few, where = STATUS_CONNECTIONS, config.status_listen
        yield _Face("status", where, "SIDECAR_STATUS_LISTEN", bind_any, self._status.handle, few, lambda _: None)

    def _bound(self, face: _Face, stack: ExitStack) -> list[socket]:
        """The sockets of `face`, which `stack` closes where another's cannot be had."""
        source = self._config.origins[face.setting].source
        sockets = face.bind(face.listen.host, face.listen.port, setting=face.setting, source=source)
        return [stack.enter_context(sock) for sock in sockets]

    def _server(self, face: _Face) -> Server:
        limits = Limits(connections=face.connections)
        return Server(
            face.handle, limits, refused=face.refused, failed=lambda error: self.bugs.failed(face.name, error)
        )
