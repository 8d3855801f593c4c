"""What every process of ours that serves has: its event loop, limits, end, garbage, and the report of its bugs."""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from sidecar.events import HandlerFailed, Observe, Throttle
from sidecar.log import whereabouts

# Two listeners for credentials, the status, what each closes at leisure, and a few dozen for STS, the log and Python.
OPEN_FILES = 4096
# Seconds between two reports of the same failure: a listener without files fails thousands of times in one.
TOLD = 1.0
# Seconds from open listeners to the one full collection of garbage: it takes 50 ms, and the first walk comes before.
SETTLED = 2.0


def run(serving: Coroutine[Any, Any, int]) -> int:
    """Serves to the end; answers the exit code."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(serving)


def _loop() -> asyncio.AbstractEventLoop:
    if sys.platform != "linux":
        return asyncio.new_event_loop()
    from sidecar.turns import InTurn

    return asyncio.SelectorEventLoop(InTurn())


class Bugs:
    """Reports what no code of ours expected, by type and place, to `observe`; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], observe: Observe) -> None:
        self._tell = Throttle(observe, clock, TOLD)

    def caught(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """What the event loop caught."""
        self.failed("event loop", context.get("exception") or RuntimeError(context.get("message", "")))

    def failed(self, face: str, error: BaseException) -> None:
        """What the handler of `face` raised."""
        where = whereabouts(error).partition(" at ")[2]
        self._tell(HandlerFailed(face=face, error=type(error).__name__, where=where))


def begin(bugs: Bugs) -> asyncio.Event:
    """Has `bugs` told of what the running loop catches; answers what SIGTERM and SIGINT set."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(bugs.caught)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def settle_soon() -> None:
    """Once all is open: what lives as long as the process is not looked through again for garbage."""
    asyncio.get_running_loop().call_later(SETTLED, _settle)


def _settle() -> None:
    gc.collect()
    gc.freeze()


def limit_files() -> None:
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
