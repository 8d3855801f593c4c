"""From the start of the process to the first credentials, STS at 0 ms, beside the two imports it cannot do without."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from bench.figures import Figure, Plan, Sample
from bench.stage import BASELINE, Stage, process


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """The figure of the start; the baseline is the whole life of its process."""
    for start in (_ours, _baseline):  # compiles, and fills the page cache
        start(stage)
    samples = [Sample(ours=_ours(stage), baseline=_baseline(stage)) for _ in range(plan.runs)]
    yield Figure(name="start to first credentials", unit="s", target=1.4, samples=samples)


def _ours(stage: Stage) -> float:
    moved = stage.moved()
    began = perf_counter()
    with moved.daemon() as daemon:
        moved.until_served(daemon)
        return perf_counter() - began


def _baseline(_: Stage) -> float:
    began = perf_counter()
    with process("-c", BASELINE) as it:
        it.wait()
        return perf_counter() - began
