"""Resident and anonymous memory after many walks, beside the bare imports; and whether it grows."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from bench.figures import CannotMeasureError, Figure, Plan, Sample
from bench.stage import BASELINE, Stage, line, memory, process

_WAIT = "; import sys; print(flush=True); sys.stdin.read()"
_FIELDS = ("Rss", "Anonymous")


def measure(stage: Stage, plan: Plan) -> Iterator[Figure]:
    """The kernel's own count, ours after `walks` and after twice as many."""
    rounds = [(*_ours(stage, plan), _baseline()) for _ in range(plan.runs)]
    for field, target in zip(_FIELDS, (1.12, 1.2), strict=True):
        samples = [Sample(ours=once[field], baseline=bare[field]) for once, _, bare in rounds]
        name = f"{field} after {plan.walks:,} walks"
        yield Figure(name=name, unit="MB", target=target, samples=samples)
    growth = [Sample(ours=max(twice[field] - once[field] for field in _FIELDS)) for once, twice, _ in rounds]
    yield Figure(name=f"growth over {plan.walks:,} more", unit="MB", target=1.0, samples=growth)


def _ours(stage: Stage, plan: Plan) -> tuple[dict[str, float], dict[str, float]]:
    moved = stage.moved()
    seen: list[dict[str, float]] = []
    with moved.daemon("-m", "bench.walks", str(plan.walks)) as daemon:
        for walks in (plan.walks, 2 * plan.walks):
            line(daemon)
            moved.until_served(daemon)
            if (made := moved.refreshes()) != walks:
                raise CannotMeasureError(f"{made} walks succeeded where {walks} were led")
            seen.append(memory(daemon.pid))
            daemon.send_signal(signal.SIGUSR1)
    return seen[0], seen[1]


def _baseline() -> dict[str, float]:
    with process("-c", BASELINE + _WAIT) as it:
        line(it)
        return memory(it.pid)
