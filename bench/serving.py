"""Requests per second beside a bare aiohttp server, and what a hanging STS does to the latency."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from bench.figures import CannotMeasureError, Figure, Plan, Sample
from bench.load import Load, load
from bench.stage import Process, Stage, line, process

_CONNECTIONS = (1, 64)
# A call to STS ends after five seconds, and "refresh now" is granted every ten.
_LONGEST, _ASKING = 2.0, 10.5
_PATIENCE = 5.0
_Loads = dict[tuple[str, int], Load]


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """Rates and latencies: in every round plain, ours, and ours with STS hanging, one right after the other."""
    rounds = list(_rounds(stage.moved(), plan))
    for count in _CONNECTIONS:
        samples = [_rate(seen["ours", count], seen["plain", count]) for seen in rounds]
        name = f"requests per second, {count} connection{'s'[: count - 1]}"
        yield Figure(name=name, unit="/s", target=0.85, samples=samples, at_least=True)
    for count in _CONNECTIONS:
        samples = [_latency(seen["hanging", count], seen["ours", count]) for seen in rounds]
        name = f"p99 while STS hangs, {count} connection{'s'[: count - 1]}"
        yield Figure(name=name, unit="ms", target=1.2, samples=samples)


def _rate(ours: Load, plain: Load) -> Sample:
    return Sample(ours=ours.rate, baseline=plain.rate, work=plain.work / ours.work)


def _latency(hanging: Load, idle: Load) -> Sample:
    return Sample(ours=hanging.p99 * 1e3, baseline=idle.p99 * 1e3)


def _rounds(stage: Stage, plan: Plan) -> Iterator[_Loads]:
    port = stage.moved().port
    asked = -_ASKING
    with stage.daemon() as daemon, _plain(port, stage.until_served(daemon)) as plain:

        def seen(port: int, it: Process, count: int) -> Load:
            seconds = min(plan.load, _LONGEST)
            return load(port, it.pid, stage.request, connections=count, seconds=seconds)

        for _ in range(plan.runs):
            sleep(max(0.0, asked + _ASKING - monotonic()))
            once: _Loads = {}
            for count in _CONNECTIONS:
                once["plain", count] = seen(port, plain, count)
                once["ours", count] = seen(stage.port, daemon, count)
            asked = monotonic()
            with _hanging(stage, daemon):
                for count in _CONNECTIONS:
                    once["hanging", count] = seen(stage.port, daemon, count)
            yield once


@contextmanager
def _plain(port: int, body: bytes) -> Iterator[Process]:
    with process("-m", "bench.plain", str(port)) as it:
        assert it.stdin is not None
        it.stdin.write(body.decode() + "\n")
        it.stdin.flush()
        line(it)
        yield it


@contextmanager
def _hanging(stage: Stage, daemon: Process) -> Iterator[None]:
    """A call to STS in flight, and no answer to it until the end of the block: its process is stopped."""
    before = stage.refreshes()
    stage.sts.send_signal(signal.SIGSTOP)
    daemon.send_signal(signal.SIGHUP)
    try:
        yield
        if stage.refreshes() != before:
            raise CannotMeasureError("STS answered while it should have been hanging")
    finally:
        stage.sts.send_signal(signal.SIGCONT)
    deadline = monotonic() + _PATIENCE
    while stage.refreshes() == before:
        if monotonic() > deadline:
            raise CannotMeasureError("no call to STS was in flight while it hung")
        sleep(0.05)
