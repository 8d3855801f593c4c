"""Requests per second beside a bare aiohttp server, and what a hanging STS does to the latency."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic, sleep

from bench.figures import CannotMeasureError, Figure, Plan, Sample
from bench.load import Load, load
from bench.stage import Process, Stage, line, process

_CONNECTIONS = (1, 64)
# The daemon grants "refresh now" this often.
_ASKING = 10.5
_PATIENCE = 5.0


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """Rates and latencies, plain, ours and ours with STS hanging in turn."""
    stage = stage.moved()
    plain = stage.moved().port
    rounds: list[dict[str, dict[int, Load]]] = []
    with ExitStack() as stack:
        daemon = stack.enter_context(stage.daemon())
        body = stage.until_served(daemon)
        stack.enter_context(_plain(plain, body))
        asked = -_ASKING
        for _ in range(plan.runs):
            seen = {"plain": _loads(plain, stage, plan), "ours": _loads(stage.port, stage, plan)}
            sleep(max(0.0, asked + _ASKING - monotonic()))
            asked = monotonic()
            with _hanging(stage, daemon):
                seen["hanging"] = _loads(stage.port, stage, replace(plan, load=min(plan.load, 1.5)))
            rounds.append(seen)
    for count in _CONNECTIONS:
        samples = [Sample(ours=seen["ours"][count].rate, baseline=seen["plain"][count].rate) for seen in rounds]
        name = f"requests per second, {count} connection{'s'[: count - 1]}"
        yield Figure(name=name, unit="/s", target=0.85, samples=samples, at_least=True)
    for count in _CONNECTIONS:
        samples = [
            Sample(ours=seen["hanging"][count].p99 * 1e3, baseline=seen["ours"][count].p99 * 1e3) for seen in rounds
        ]
        name = f"p99 while STS hangs, {count} connection{'s'[: count - 1]}"
        yield Figure(name=name, unit="ms", target=1.2, samples=samples)


def _loads(port: int, stage: Stage, plan: Plan) -> dict[int, Load]:
    return {count: load(port, stage.request, connections=count, seconds=plan.load) for count in _CONNECTIONS}


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
