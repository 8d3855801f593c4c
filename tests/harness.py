"""The whole daemon in one process, in time that passes only when nothing else can happen.

    @in_virtual_time
    async def test_…(tmp_path):
        async with Life(tmp_path) as life:
            await life.until(lambda: life.is_served)
            life.sts.fault = Fault.hang()
            await life.passes(600)

Sockets, files, daemon and emulator are real; the event loop's clock is not: when every socket is silent it jumps to the
next timer. While somebody waits for an answer that will come, `held` keeps it still, so that an hour costs a second and
nothing depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar

import botocore.auth

from sidecar import config
from sidecar.daemon import Daemon
from sidecar.emulator import Emulator, Kubelet, World, guide_world
from sidecar.emulator.faults import Kind
from sidecar.events import Event, Listening
from sidecar.model import Outside, Secret
from sidecar.schedule import Schedule
from sidecar.sts import Call, Grant, Sts
from tests.builders import REGION, ROLE_A, ROLE_B
from tests.wire import Response, ask, last

BOOT: Final = 1000.0  # the sidecar's own clock at the start of a test
EPOCH: Final = 1_900_000_000.0  # Unix seconds then: in March 2030, so that nothing works by the real clock
# Real seconds that a socket may stay silent while somebody waits for it: beyond it is a hang of ours.
STALL: Final = 20.0
# Faults that want time to pass: the call ends by its deadline.
_SLOW: Final = frozenset({Kind.HANG, Kind.SLOW})

P = ParamSpec("P")
T = TypeVar("T")


class Clock:
    """Seconds that pass by jumps; calling it tells them."""

    def __init__(self) -> None:
        self.now = BOOT
        self._holds = 0

    def __call__(self) -> float:
        return self.now

    @property
    def is_held(self) -> bool:
        """Whether somebody waits for what will happen by itself."""
        return self._holds > 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Time stands still inside."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1


class _Selector(selectors.DefaultSelector):
    """Where the loop waits: for sockets in real time, for timers not at all."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        is_waited_for = timeout is None or (timeout > 0 and self._clock.is_held)
        ready = super().select(STALL if is_waited_for else 0)
        if not ready and is_waited_for:
            raise TimeoutError(f"no socket spoke for {STALL:.0f} real seconds")
        if not ready and timeout:
            self._clock.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is `clock`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self.clock = clock

    def time(self) -> float:
        return self.clock()


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Runs a coroutine test on a loop of its own, whose time is virtual."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=lambda: Loop(Clock())) as runner:
            return runner.run(test(*args, **kwargs))

    return run


class _Distant:
    """The port to the STS of `life`, as far away as `life.latency` says.

    The clock stands still while an answer is under way that no fault holds back.
    """

    def __init__(self, sts: Sts, life: Life) -> None:
        self._sts, self._life = sts, life

    async def assume(self, call: Call) -> Grant:
        if self._life.latency:
            await self._life.passes(self._life.latency)
        if self._life.sts.fault.kind in _SLOW:
            return await self._sts.assume(call)
        with self._life.clock.held():
            return await self._sts.assume(call)


class Life:
    """A daemon with its STS and its kubelet: started on entry, ended as by SIGTERM on exit.

    `universe` makes the IAM world of an issuer's URL; `settings` are environment variables beside the usual ones, or in
    their place (empty: unset). `issued_life` is how many seconds STS lets a session live, if that is less
    than was asked for; `chance` is what every draw of the schedule gives; `events` is all that happened.
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        *,
        universe: Callable[[str], World] = guide_world,
        issued_life: float | None = None,
        chance: float = 0.5,
        observe: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.home, self.chance = home, chance
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.step = 0.0  # how far somebody has set the node's wall clock
        self.latency = 0.0  # seconds that every call to STS takes
        self._settings, self._universe, self._observe = settings or {}, universe, observe
        self._issued_life = issued_life
        self._open = AsyncExitStack()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self.clock = loop.clock

    def true_wall(self) -> float:
        """Unix seconds as AWS has them."""
        return EPOCH + self.clock() - BOOT

    def wall(self) -> float:
        """Unix seconds as the node has them."""
        return self.true_wall() + self.step

    @property
    def outside(self) -> Outside:
        """What the daemon gets from outside itself."""
        return Outside(
            clock=self.clock,
            wall=self.wall,
            chance=lambda: self.chance,
            random_token=lambda: secrets.token_urlsafe(32),
            boot="the only boot",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the daemon is configured by."""
        usual = usual_settings(self.home, self.sts.url, self.kubelet.path)
        return {name: value for name, value in {**usual, **self._settings}.items() if value}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(_signing_at(self.wall))
            self.sts = await stack.enter_async_context(Emulator(self._universe, self.true_wall))
            self.sts.issued_life = self._issued_life
            self.kubelet = Kubelet(self.home / "projected", self.sts)
            self.kubelet.project()
            stack.enter_context(surroundings(self.environment))
            await self._start(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        self.config = config.resolve({}, self.environment)
        sts = await stack.enter_async_context(Sts(self.wall))
        self.daemon = Daemon(self.config, self.outside, _Distant(sts, self).assume, self._note)
        self.serving = asyncio.create_task(self.daemon.serve(self.stop), name="daemon")
        stack.push_async_callback(self._end)
        await self.until(lambda: "status" in self._faces or self.serving.done())  # the last that opens
        if self.serving.done():
            await self.serving

    async def _end(self) -> None:
        self.stop.set()
        await asyncio.wait({self.serving})

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._observe(event)

    def port(self, face: str) -> int:
        """Where the listener of that face was bound."""
        return self._faces[face]

    @property
    def _faces(self) -> dict[str, int]:
        heard = [event for event in self.events if isinstance(event, Listening)]
        return {event.face: int(event.addresses[0].rpartition(":")[2]) for event in heard}

    async def passes(self, seconds: float) -> None:
        """Time passes, and with it all that is to happen."""
        await self.comes(self.clock() + seconds)

    async def comes(self, instant: float) -> None:
        """The clock comes to `instant`."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()
        loop.call_at(instant, arrived.set_result, None)
        await arrived

    async def until(self, is_so: Callable[[], bool], within: float = 60.0) -> None:
        """Time passes until `is_so`, which it must be `within` seconds."""
        end = self.clock() + within
        while not is_so():
            assert self.clock() < end, f"not so within {within:g} s; the last: {self.events[-3:]}"
            await self.passes(0.5)

    def happened(self, kind: type[T]) -> list[T]:
        """The events of `kind`, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def schedule(self, target: str | None = None) -> Schedule:
        """What is planned for the target's last hop."""
        return self.daemon.refresher.ledger.of(self.config.target(target).hop).schedule

    @property
    def is_served(self) -> bool:
        """Whether every target can be served now."""
        return all(self.schedule(each.name).is_alive(self.clock()) for each in self.config.targets)

    def authorization(self, target: str = "default") -> Secret:
        """The target's authorization token, from its file."""
        return Secret((Path(self.config.authorization_dir) / target / "token").read_text())

    async def request(self, path: str = "/v1/credentials", target: str | None = None) -> Response:
        """The credential endpoint's answer to whom it knows."""
        token = self.authorization(target or self.config.targets[0].name)
        return await self.raw(last(path, f"Authorization: {token.reveal()}"))

    async def raw(self, head: bytes) -> Response:
        """The credential endpoint's answer to any request."""
        with self.clock.held():
            return await ask(self._faces["credentials"], head)

    async def status(self, path: str) -> Response:
        """The status listener's answer."""
        with self.clock.held():
            return await ask(self._faces["status"], last(path))


def usual_settings(home: Path, sts_url: str, token_file: Path) -> dict[str, str]:
    """The environment of a sidecar for the guide's chained setup, with every path below `home` and every port free."""
    return {
        "AWS_ROLE_ARN": ROLE_A,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
        "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_STS": sts_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SIDECAR_LISTEN": "127.0.0.1:0",
        "SIDECAR_STATUS_LISTEN": "127.0.0.1:0",
        "SIDECAR_AUTHORIZATION_DIR": str(home / "authorization"),
    }


@contextmanager
def surroundings(settings: Mapping[str, str]) -> Iterator[None]:
    """botocore reads its own names from the environment of the process: these, and no others of AWS's."""
    before = dict(os.environ)
    for name in [name for name in before if name.upper().startswith(("AWS_", "HTTP", "NO_PROXY"))]:
        del os.environ[name]
    os.environ.update({name: value for name, value in settings.items() if name.startswith("AWS_")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _signing_at(wall: Callable[[], float]) -> Iterator[None]:
    """botocore reads the wall clock itself when it signs: the one clock that no argument reaches."""
    before = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda: datetime.fromtimestamp(wall(), UTC).replace(tzinfo=None)
    try:
        yield
    finally:
        botocore.auth.get_current_datetime = before
