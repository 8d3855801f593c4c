"""Requests per second beside a bare aiohttp server, and what a hanging STS does to the latency.

What is compared takes turns of a fraction of a second, so that a machine that changes its pace changes both of a pair.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from time import monotonic, sleep

from bench.figures import CannotMeasureError, Figure, Plan, Sample
from bench.load import load
from bench.stage import Process, Stage, line, process, stage

_CONNECTIONS = {1: "1 connection", 64: "64 connections"}
# Of each number of connections in one round.
_PAIRS = 3
# The call that hangs is given up after five seconds; "refresh now" is granted every ten: seconds between two tries, and
# for all of them.
_HANGING, _GLANCE, _PATIENCE = 5.0, 0.1, 30.0


def measure(here: Stage, plan: Plan) -> Iterator[Figure]:
    """Ours and a plain server in turn; then a daemon whose STS hangs and one whose STS is well."""
    here = here.moved()
    with here.daemon() as daemon:
        body = here.until_served(daemon)
        yield from _beside_plain(here, daemon, body, plan)
        yield from _beside_hanging(here, daemon, plan)


def _beside_plain(here: Stage, daemon: Process, body: bytes, plan: Plan) -> Iterator[Figure]:
    port = here.moved().port
    with _plain(port, body) as plain:
        for count, name in _CONNECTIONS.items():
            loaded = partial(load, requests=repeat(here.request), connections=count, seconds=plan.load)
            pairs = [(loaded(here.port, daemon.pid), loaded(port, plain.pid)) for _ in range(_PAIRS * plan.runs)]
            samples = [Sample(ours=o.rate, baseline=p.rate, work=p.work / o.work) for o, p in pairs]
            yield Figure(name=f"requests per second, {name}", unit="/s", target=0.85, samples=samples, at_least=True)


def _beside_hanging(here: Stage, daemon: Process, plan: Plan) -> Iterator[Figure]:
    samples: dict[int, list[Sample]] = {count: [] for count in _CONNECTIONS}
    with stage() as there, there.daemon() as hung:
        there.until_served(hung)
        for _ in range(plan.runs):
            with _hanging(there, hung) as is_hanging:
                for count in [*_CONNECTIONS] * _PAIRS:
                    loaded = partial(load, requests=repeat(here.request), connections=count, seconds=plan.load)
                    ours, idle = loaded(there.port, hung.pid), loaded(here.port, daemon.pid)
                    if is_hanging():
                        samples[count].append(Sample(ours=ours.p99 * 1e3, baseline=idle.p99 * 1e3))
    for count, name in _CONNECTIONS.items():
        if not samples[count]:
            raise CannotMeasureError("the call to STS always ended while it should have been hanging")
        yield Figure(name=f"p99 while STS hangs, {name}", unit="ms", target=1.2, samples=samples[count])


@contextmanager
def _plain(port: int, body: bytes) -> Iterator[Process]:
    with process("-m", "bench.plain", str(port)) as it:
        assert it.stdin is not None
        it.stdin.write(body.decode() + "\n")
        it.stdin.flush()
        line(it)
        yield it


@contextmanager
def _hanging(there: Stage, daemon: Process) -> Iterator[Callable[[], bool]]:
    """A call to STS in flight, and no answer to it until the end of the block: its process is stopped. Yields whether
    it hangs still: a slow machine may need longer for its loads than the daemon waits."""
    before, deadline = there.refreshes(), monotonic() + _PATIENCE
    there.sts.send_signal(signal.SIGSTOP)
    try:
        asked = monotonic()
        while not there.is_stale():
            if asked > deadline:
                raise CannotMeasureError("no refresh was granted")
            asked = monotonic()
            daemon.send_signal(signal.SIGHUP)
            sleep(_GLANCE)
        yield lambda: monotonic() < asked + _HANGING and there.refreshes() == before
    finally:
        there.sts.send_signal(signal.SIGCONT)
    deadline = monotonic() + _PATIENCE
    while there.refreshes() == before:
        if monotonic() > deadline:
            raise CannotMeasureError("no call to STS was in flight while it hung")
        sleep(_GLANCE)
