"""Fleets of pods, and the calls that they make: the real `next_call` and `Ledger`, without loop and misfortune.

Pods differ in chance alone. A pod calls a hop once at a time and looks again at the instant that `wake` names, as the
refresher does. STS is a function of the hop and the instant. Time jumps from one instant that matters to the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random

from sidecar.ledger import Ledger, next_call, wake
from sidecar.model import Failure, Hop, Kind, Target
from tests.builders import HOUR, failure, session
from tests.simulation import Known, known

# Seconds that a call takes, whatever comes of it.
ANSWER = 0.1
# How STS answers a call: None grants it.
Sts = Callable[[Hop, float], Failure | None]


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made: when, and on which hop of the chain."""

    at: float
    position: int


def healthy(_hop: Hop, _now: float) -> Failure | None:
    """Grants whatever is asked."""
    return None


class Bucket:
    """An STS that throttles signed calls: as many as `size` at once, refilled by as many each second."""

    def __init__(self, size: int) -> None:
        self.size, self._left, self._at = size, float(size), 0.0

    def __call__(self, hop: Hop, now: float) -> Failure | None:
        if hop.source is None:
            return None
        self._left = min(self.size, self._left + (now - self._at) * self.size)
        self._at = now
        if self._left < 1:
            return failure(Kind.UNAVAILABLE, "Throttling")
        self._left -= 1
        return None


class Pod:
    """One sidecar; `calls` is what it has asked of STS."""

    def __init__(self, targets: Sequence[Target], random: Random, sts: Sts, ledger: Ledger | None = None) -> None:
        self.targets, self.ledger = targets, ledger or Ledger()
        self.calls: list[Made] = []
        self._random, self._sts = random, sts
        self._under_way: dict[Hop, tuple[float, Failure | None]] = {}

    @property
    def has_credentials(self) -> bool:
        """Whether every target was granted a session."""
        return all(self.ledger.of(each.hop).session for each in self.targets)

    def turn(self, now: float) -> float:
        """Takes in what has arrived and calls what is due; the instant of the next turn."""
        for hop in [hop for hop, (sent, _) in self._under_way.items() if sent + ANSWER <= now]:
            self._arrived(hop, *self._under_way.pop(hop), now)
        for each in self.targets:
            due = next_call(self.ledger, each, now)
            if due and due not in self._under_way:
                self.calls.append(Made(now, due.position))
                self._under_way[due] = (now, self._sts(due, now))
        instants = [wake(self.ledger, each, now) for each in self.targets]
        arrivals = [sent + ANSWER for sent, _ in self._under_way.values()]
        return min([*arrivals, *(each for each in instants if each > now)], default=inf)

    def live(self, start: float, end: float) -> None:
        """Everything from `start` until `end`."""
        while start < end:
            start = self.turn(start)

    def _arrived(self, hop: Hop, sent: float, refusal: Failure | None, now: float) -> None:
        chance = self._random.random()
        if refusal:
            self.ledger = self.ledger.failed(hop, refusal, now=now, chance=chance)
            return
        lifetime = sent + hop.duration - now
        self.ledger = self.ledger.succeeded(hop, session(hop), lifetime=lifetime, now=now, chance=chance)


def pods(targets: Sequence[Target], count: int, sts: Sts = healthy) -> Iterator[Pod]:
    """`count` pods with the same targets."""
    all_known: dict[Hop, Known] = {}
    served = tuple(replace(each, hop=known(each.hop, all_known)) for each in targets)
    return (Pod(served, Random(seed), sts) for seed in range(count))  # noqa: S311  # chance that is to be repeated


def fleet(targets: Sequence[Target], count: int, hours: float, sts: Sts = healthy, *, within: float = 0.0) -> list[Pod]:
    """Pods after `hours`, of which they started one after the other in the first `within`."""
    lived = list(pods(targets, count, sts))
    for number, pod in enumerate(lived):
        pod.live(within * HOUR * number / count, hours * HOUR)
    return lived


def rush(targets: Sequence[Target], count: int, sts: Sts) -> tuple[list[float], int]:
    """Pods that start within one second: the instants at which they have credentials, and the calls on later hops."""
    crowd, served = list(pods(targets, count, sts)), dict[int, float]()
    turns = [(number / count, number) for number in range(count)]
    while len(served) < count:
        now, number = heapq.heappop(turns)
        heapq.heappush(turns, (crowd[number].turn(now), number))
        if crowd[number].has_credentials:
            served.setdefault(number, now)
    return sorted(served.values()), sum(made.position > 1 for pod in crowd for made in pod.calls)
