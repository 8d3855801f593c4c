"""What the daemon costs while nobody asks: its share of a core."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter, sleep

from bench.figures import Figure, Plan, Sample
from bench.stage import Stage, processor_seconds

# After the first credentials: whatever a start leaves to do is done.
_SETTLED = 2.0


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """The share in percent, from the scheduler's count of nanoseconds."""
    stage = stage.moved()
    with stage.daemon() as daemon:
        stage.until_served(daemon)
        sleep(_SETTLED)
        samples = [Sample(ours=_share(daemon.pid, plan.idle)) for _ in range(plan.runs)]
    yield Figure(name="idle", unit="% of a core", target=0.1, samples=samples)


def _share(pid: int, seconds: float) -> float:
    began, before = perf_counter(), processor_seconds(pid)
    sleep(seconds)
    return 100 * (processor_seconds(pid) - before) / (perf_counter() - began)
