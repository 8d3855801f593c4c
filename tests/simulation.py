"""Thousands of virtual days of pods whose STS, token, clock and luck fail: the real `next_call` and `Ledger`, no loop.

    python -m tests.simulation --days 3000 --seed 1

A `Pod` does what the refresher does: it looks every 2 s, calls each hop at most once at a time, and puts outcomes into
the ledger. The `World` is STS, kubelet and misfortune. A `Witness` keeps books of its own and checks the invariants
1 to 6 of the schedule after every event. Time jumps from one instant that matters to the next.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from itertools import count
from math import ceil, inf
from random import Random

from sidecar.archive import dump, load
from sidecar.ledger import Ledger, next_call
from sidecar.model import Failure, Hop, Kind, Target
from sidecar.refresher import DEADLINE, POLL
from sidecar.schedule import FLOOR
from tests.builders import HOUR, TOKEN_FILE, session, targets
from tests.witness import DENIED_ENDS, UNAVAILABLE_ENDS, Witness

DAY = 24 * HOUR
# kubelet replaces a token of a day at four fifths of its life.
TOKEN_LIFE = DAY
# What a healthy call takes at most.
USUAL = 0.5


class Fault(StrEnum):
    """What can be wrong; the last three are moments of a healthy life, counted for a minute."""

    ERROR = "STS answers 5xx"
    HANG = "STS hangs"
    THROTTLED = "STS throttles"
    SLOW = "STS is slow"
    PROVIDER = "identity provider away"
    DENIED_FIRST = "first hop denied"
    DENIED_LATER = "second hop denied"
    CLOCK = "node clock stepped"
    TOKEN_GONE = "token missing"
    TOKEN_OLD = "token not rotated, expired"
    REVOKED = "source session unknown"
    RECREATED = "source role re-created"
    ROTATED = "token rotated"
    ASKED = "refresh asked for"
    RESTARTED = "sidecar restarted"


MOMENTS = {Fault.ROTATED, Fault.ASKED, Fault.RESTARTED}
INSTANTS = {Fault.REVOKED, Fault.RECREATED}
DENIALS = {Fault.DENIED_FIRST, Fault.DENIED_LATER, Fault.RECREATED}
PATIENT = DENIALS | {Fault.SLOW, Fault.TOKEN_GONE, Fault.TOKEN_OLD}
LASTING = tuple(fault for fault in Fault if fault not in MOMENTS)


class Known(Hop):
    """A hop that equals itself alone: hashing chains field by field is half of a simulation's time."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def known(hop: Hop, all_known: dict[Hop, Known]) -> Known:
    """The one `Known` of all hops that equal `hop`."""
    if hop not in all_known:
        values = {each.name: getattr(hop, each.name) for each in fields(hop)}
        values["source"] = known(hop.source, all_known) if hop.source else None
        all_known[hop] = Known(**values)
    return all_known[hop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What becomes of a call after `seconds`: a session of `lifetime`, or a failure; and whose fault it is."""

    seconds: float
    lifetime: float = 0.0
    failure: Failure | None = None
    blamed: Fault | None = None


def refused(kind: Kind, code: str, blamed: Fault, seconds: float = 0.1) -> Answer:
    return Answer(seconds=seconds, failure=Failure(kind=kind, code=code), blamed=blamed)


_OUTAGES = {
    Fault.HANG: refused(Kind.UNAVAILABLE, "Timeout", Fault.HANG, DEADLINE),
    Fault.ERROR: refused(Kind.UNAVAILABLE, "ServiceUnavailable", Fault.ERROR),
    Fault.THROTTLED: refused(Kind.UNAVAILABLE, "Throttling", Fault.THROTTLED),
}
_FIRST = {
    Fault.PROVIDER: refused(Kind.UNAVAILABLE, "IDPCommunicationError", Fault.PROVIDER, 1.0),
    Fault.DENIED_FIRST: refused(Kind.DENIED, "AccessDenied", Fault.DENIED_FIRST),
}
_LATER = {
    Fault.CLOCK: refused(Kind.UNAVAILABLE, "SignatureDoesNotMatch", Fault.CLOCK),
    Fault.DENIED_LATER: refused(Kind.DENIED, "AccessDenied", Fault.DENIED_LATER),
}


@dataclass(slots=True, kw_only=True)
class Sts:
    """STS as a function of what is wrong: `active` faults, and the instants at which old sessions became worthless."""

    random: Random
    active: set[Fault] = field(default_factory=set)
    worthless: dict[Fault, float] = field(default_factory=lambda: dict.fromkeys(INSTANTS, -inf))

    def answer(self, hop: Hop, source_issued: float) -> Answer:
        """What STS does with a call on `hop`, signed by a session that was issued at `source_issued`."""
        table = _OUTAGES | (_FIRST if hop.source is None else _LATER)
        for fault, answer in table.items():
            if fault in self.active:
                return answer
        if hop.source and source_issued < self.worthless[Fault.REVOKED]:
            return refused(Kind.SOURCE_GONE, "InvalidClientTokenId", Fault.REVOKED)
        if hop.source and source_issued < self.worthless[Fault.RECREATED]:
            return refused(Kind.DENIED, "AccessDenied", Fault.RECREATED)
        slow = Fault.SLOW in self.active
        seconds = self.random.uniform(2.0, 4.9) if slow else self.random.uniform(0.05, USUAL)
        return Answer(seconds=seconds, lifetime=hop.duration)


@dataclass(slots=True, kw_only=True)
class Kubelet:
    """The token on disk: when it expires, and whether it is there."""

    expiration: float
    present: bool = True


class Pod:
    """One sidecar, as the refresher would drive it; `witness` sees everything that happens."""

    def __init__(self, targets: tuple[Target, ...], sts: Sts, kubelet: Kubelet, witness: Witness) -> None:
        self.targets, self.sts, self.kubelet, self.witness = targets, sts, kubelet, witness
        self.hops = tuple({hop: None for each in targets for hop in each.hop.chain})
        self.ledger = Ledger()
        self.token: float | None = None  # the expiration of the last good token
        self.token_ok = True
        self.knows_time = False
        self.calls: dict[Hop, tuple[float, float, Answer]] = {}
        self._serial = count(1)
        self.attempts: Counter[Fault] = Counter()

    def next_instant(self, now: float) -> float:
        """When something happens by itself: an answer arrives, or the first look after an instant of the ledger."""
        arrivals = [arrives for _, arrives, _ in self.calls.values()]
        schedules = [held.schedule for held in self.ledger.held.values()]
        instants = [each for s in schedules for each in (s.due, s.lapse, s.expiration - FLOOR) if each > now]
        return min([*arrivals, *(ceil(each / POLL) * POLL for each in instants)], default=inf)

    def turn(self, now: float) -> None:
        """Takes in what arrived, looks at the token, and calls what is due."""
        for hop in [hop for hop, (_, arrives, _) in self.calls.items() if arrives <= now]:
            sent, _, answer = self.calls.pop(hop)
            self._arrived(hop, answer, sent, now)
        self._look(now)
        again = True
        while again:
            again = False
            for each in self.targets:
                due = next_call(self.ledger, each, now)
                if due is not None and due not in self.calls:
                    again = not self._send(due, now) or again

    def ask(self, now: float) -> None:
        """Somebody sends SIGHUP."""
        self._replace(self.ledger.asked(self.targets, now), now)
        self.witness.walked(now)

    def restart(self, now: float, *, keeps_state: bool) -> None:
        """The process ends here and begins again, with what the state directory holds."""
        before, self.ledger = self.ledger, Ledger()
        self.calls.clear()
        self.token, self.token_ok, self.knows_time = None, True, False
        self.witness.restarted(now)
        if keeps_state:
            self.ledger = load(dump(before, "boot"), self.targets, "boot", now)[0]
            alive = [hop for hop in self.hops if before.of(hop).schedule.is_alive(now)]
            assert alive == [hop for hop in self.hops if hop in self.ledger.held], "a live session was lost"

    def _look(self, now: float) -> None:
        kubelet = self.kubelet
        news = kubelet.present and (self.token != kubelet.expiration or not self.token_ok)
        self.token_ok = kubelet.present
        if news:
            self.token = kubelet.expiration
            self._replace(self.ledger.rotated(TOKEN_FILE, now), now)
            self.witness.walked(now)

    def _send(self, hop: Hop, now: float) -> bool:
        """Starts a call; False if none was worth making, which is an outcome already."""
        self.attempts.update(self.sts.active)
        if hop.source is None and (trouble := self._token_trouble(now)):
            self._failed(hop, trouble, now)
            return False
        held = self.ledger.of(hop.source).session if hop.source else None
        answer = self.sts.answer(hop, self.witness.issued(held) if held else inf)
        if answer.blamed in INSTANTS:
            self.attempts[answer.blamed] += 1
        if hop.source is None and self.token is not None and self.token <= now:
            answer = refused(Kind.TOKEN, "TokenExpired", Fault.TOKEN_OLD)
        self.witness.called(hop, now)
        self.calls[hop] = (now, now + answer.seconds, answer)
        return True

    def _token_trouble(self, now: float) -> Answer | None:
        if self.token is None:
            return refused(Kind.TOKEN, "TokenMissing", Fault.TOKEN_GONE)
        if self.knows_time and self.token <= now:
            self.knows_time = False
            return refused(Kind.TOKEN, "TokenExpired", Fault.TOKEN_OLD)
        return None

    def _arrived(self, hop: Hop, answer: Answer, sent: float, now: float) -> None:
        if answer.failure:
            self._failed(hop, answer, now)
            return
        self.knows_time = True
        granted = session(hop, next(self._serial))
        lifetime = sent + answer.lifetime - now
        self.witness.granted(self.ledger, hop, granted, issued=sent, until=now + lifetime, now=now)
        chance = self.sts.random.random()
        self.ledger = self.ledger.succeeded(hop, granted, lifetime=lifetime, now=now, chance=chance)
        self.witness.scheduled(self.ledger, hop, now)

    def _failed(self, hop: Hop, answer: Answer, now: float) -> None:
        assert answer.failure is not None
        chance = self.sts.random.random()
        self._replace(self.ledger.failed(hop, answer.failure, now=now, chance=chance), now)
        self.witness.scheduled(self.ledger, hop, now)
        self.witness.failed(hop, answer.failure.kind, now, lingering=answer.blamed in INSTANTS)

    def _replace(self, ledger: Ledger, now: float) -> None:
        self.witness.kept(self.ledger, ledger, now)
        self.ledger = ledger


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a simulation did: virtual seconds, those that were faulty, calls attempted under each fault."""

    seconds: float = 0.0
    faulty: float = 0.0
    attempts: Counter[Fault] = field(default_factory=Counter)
    hidden: int = 0

    def add(self, other: Tally) -> None:
        self.seconds += other.seconds
        self.faulty += other.faulty
        self.attempts += other.attempts
        self.hidden += other.hidden

    def __str__(self) -> str:
        lines = [f"{self.attempts[fault]:8d} calls attempted: {fault}" for fault in Fault]
        days, share = self.seconds / DAY, self.faulty / self.seconds
        return "\n".join([f"{days:8.0f} pod-days, {share:.0%} of them faulty, {self.hidden} outages hidden", *lines])


class Life:
    """One pod from its start on, and everything that happens to it, from one seed."""

    # Hours of peace between the faults of each of two independent streams; hours that a fault lasts: outages make
    # sixty calls an hour and are kept short, the rest is patient.
    PEACE, OUTAGE, TROUBLE = 6.5, 0.25, 3.0
    # Hours between two restarts of the sidecar, and between two refreshes that somebody asks for.
    RESTART, ASKED = 15.0, 10.0

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  # chance here is to be repeated, not to be secret
        self.now = self.random.uniform(0.0, 1e6)
        self.sts = Sts(random=self.random)
        self.kubelet = Kubelet(expiration=self.now + TOKEN_LIFE)
        plain = targets(self.random.choice((1, 1, 1, 2, 3)), self.random.choice((1, 2, 2, 2, 3)))
        all_known: dict[Hop, Known] = {}
        served = tuple(replace(each, hop=known(each.hop, all_known)) for each in plain)
        self.witness = Witness(served, walk=POLL + served[0].hop.position * USUAL)
        self.pod = Pod(served, self.sts, self.kubelet, self.witness)
        self.tally = Tally()
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._in(0.0, self._rotate)
        for _ in range(2):
            self._plan()
        self._later(self.RESTART, self._restart)
        self._later(self.ASKED, self._ask)

    def run(self, days: float) -> Tally:
        """Lives on for `days`."""
        end = self.now + days * DAY
        self.pod.turn(self.now)
        while self.now < end:
            then = min(self.pod.next_instant(self.now), self._todo[0][0], end)
            self.tally.seconds += then - self.now
            self.tally.faulty += then - self.now if self.witness.wrong else 0.0
            self.now = then
            self.witness.look(self.pod.ledger, then)
            while self._todo[0][0] <= then:
                heapq.heappop(self._todo)[2]()
            self.pod.turn(then)
        self.witness.settle()
        self.tally.attempts, self.tally.hidden = self.pod.attempts, self.witness.hidden
        return self.tally

    def _in(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._todo, (self.now + seconds, next(self._order), action))

    def _later(self, hours: float, action: Callable[[], None]) -> None:
        self._in(self.random.expovariate(1 / (hours * HOUR)), action)

    def _plan(self) -> None:
        self._later(self.PEACE, self._strike)

    def _strike(self) -> None:
        """Something goes wrong: for a while, or from one second before a refresh until it must just be over."""
        fault = self.random.choice(LASTING)
        if fault in self.sts.active:
            self._plan()
            return
        schedule = self.pod.ledger.of(self.random.choice(self.pod.targets).hop).schedule
        mean = self.TROUBLE if fault in PATIENT else self.OUTAGE
        wait, lasts = 0.0, self.random.expovariate(1 / (mean * HOUR))
        end = schedule.expiration - (DENIED_ENDS if fault in DENIALS else UNAVAILABLE_ENDS)
        if self.random.random() < 0.5 and self.now < schedule.due < end:
            wait = max(0.0, schedule.due - 1.0 - self.now)
            lasts = end - self.now - wait
        self._in(wait, lambda: self._begin(fault, lasts))

    def _begin(self, fault: Fault, lasts: float) -> None:
        if fault in self.sts.active:
            self._plan()
        elif fault in INSTANTS:
            self.sts.worthless[fault] = self.now
            self._plan()
        else:
            self.sts.active.add(fault)
            self.witness.began(fault, denied=fault in DENIALS)
            if fault is Fault.TOKEN_OLD:
                self.kubelet.expiration = self.now
            self.kubelet.present = Fault.TOKEN_GONE not in self.sts.active
            self._in(lasts, lambda: self._end(fault))

    def _end(self, fault: Fault) -> None:
        self.sts.active.discard(fault)
        self.witness.ended(fault, self.now)
        self.kubelet.present = Fault.TOKEN_GONE not in self.sts.active
        if fault is Fault.TOKEN_OLD:
            self.kubelet.expiration = self.now + TOKEN_LIFE
        self._plan()

    def _moment(self, fault: Fault) -> None:
        self.sts.active.add(fault)
        self._in(60.0, lambda: self.sts.active.discard(fault))

    def _rotate(self) -> None:
        if Fault.TOKEN_OLD not in self.sts.active:
            self.kubelet.expiration = self.now + TOKEN_LIFE
            self._moment(Fault.ROTATED)
        self._in(0.8 * TOKEN_LIFE, self._rotate)

    def _ask(self) -> None:
        for _ in range(self.random.choice((1, 1, 5))):
            self.pod.ask(self.now)
        self._moment(Fault.ASKED)
        self._later(self.ASKED, self._ask)

    def _restart(self) -> None:
        self.pod.restart(self.now, keeps_state=self.random.random() < 0.7)
        self._moment(Fault.RESTARTED)
        self._later(self.RESTART, self._restart)


def simulate(days: float, seed: int, days_of_a_life: float = 20.0) -> Tally:
    """Lives of pods, one seed after the other, that make `days` together."""
    total = Tally()
    for number in range(ceil(days / days_of_a_life)):
        total.add(Life(seed * 1_000_003 + number).run(days_of_a_life))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=float, default=300.0, help="virtual days of all pods together")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    print(simulate(given.days, given.seed))
    print(f"{time.monotonic() - began:8.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
