"""The daemon itself under a clock that jumps: hundreds of hours of walks in seconds.

`daemon.run` gets time and chance from outside, so nothing of it is replaced: the clock leaps to where both sessions
want renewal, SIGHUP wakes the loop as it does in life, and every outcome draws its chance, which is how a walk is seen
to end. It says a line after every COUNT walks and goes on at SIGUSR1.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time

from sidecar import cli, config
from sidecar.daemon import run
from sidecar.model import Outside

# Of a one-hour session: later than its refresh and than the last five minutes of its source, before its expiration.
_LEAP = 56 * 60.0
_HOPS = 2


class Life:
    """Time and chance of one process."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._outcomes = 0
        self._walked = asyncio.Event()
        self._go = asyncio.Event()

    def outside(self) -> Outside:
        """What the daemon is given."""
        return Outside(
            clock=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + self._ahead,
            wall=time.time,
            chance=self._chance,
            random_token=lambda: "",
            boot="bench",
        )

    async def lead(self, count: int) -> None:
        """Walks `count` times, twice; the daemon's own first walk counts."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._go.set)
        await self._walked.wait()
        for walks in (count - 1, count):
            for _ in range(walks):
                self._walked.clear()
                self._ahead += _LEAP
                signal.raise_signal(signal.SIGHUP)
                await self._walked.wait()
            print(walks, flush=True)
            await self._go.wait()
            self._go.clear()

    def _chance(self) -> float:
        self._outcomes += 1
        if self._outcomes % _HOPS == 0:
            self._walked.set()
        return random.random()  # noqa: S311  # as in life: it spreads instants, and keeps nothing secret


async def main(count: int) -> None:
    """The daemon and what leads it."""
    life = Life()
    async with asyncio.TaskGroup() as group:
        group.create_task(run(config.resolve({}, os.environ), life.outside()))
        group.create_task(life.lead(count))


if __name__ == "__main__":
    cli.parser().parse_args(["run"])  # as `run` does
    asyncio.run(main(int(sys.argv[1])))
