"""From the start of the process to the first credentials, STS at 0 ms, beside the two imports it cannot do without."""

from __future__ import annotations

from collections.abc import Iterator
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

from bench.figures import Figure, Plan, Sample
from bench.stage import BASELINE, Stage, process, processor_seconds

# A start is short and easily disturbed.
_OFTENER = 3


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """The figure of the start; the baseline is the whole life of its process."""
    for start in (_ours, _baseline):  # compiles, and fills the page cache
        start(stage)
    samples = [_sample(_ours(stage), _baseline(stage)) for _ in range(_OFTENER * plan.runs)]
    yield Figure(name="start to first credentials", unit="s", target=1.4, samples=samples)


def _sample(ours: tuple[float, float], baseline: tuple[float, float]) -> Sample:
    return Sample(ours=ours[0], baseline=baseline[0], work=ours[1] / baseline[1])


def _ours(stage: Stage) -> tuple[float, float]:
    """Seconds, and seconds on a core."""
    moved = stage.moved()
    began = perf_counter()
    with moved.daemon() as daemon:
        moved.until_served(daemon)
        return perf_counter() - began, processor_seconds(daemon.pid)


def _baseline(_: Stage) -> tuple[float, float]:
    began, before = perf_counter(), _of_children()
    with process("-c", BASELINE) as it:
        it.wait()
        return perf_counter() - began, _of_children() - before


def _of_children() -> float:
    """Seconds on a core of all processes that have ended."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
