"""Books of its own beside a ledger, and the six invariants of the schedule, checked after every event.

1. Expired credentials are never served.
2. A failure never discards served credentials.
3. After a success and after a failure, `due` is in the future.
4. An outage that ends 2 minutes before expiration (352 s for a denial) is invisible to the workload.
5. In steady state what is served has at least half its lifetime left, less one walk.
6. A denied two-hop chain makes at most 30 STS calls in its first hour and 20 in each later one, plus one walk per
   rotation or asked refresh; targets that share a denied first hop make no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from sidecar.ledger import Ledger
from sidecar.model import Hop, Kind, Phase, Session, Target
from sidecar.schedule import FLOOR

HOUR = 3600.0
# Before expiration: an attempt in flight 10 s, the capped backoff, a poll of 2 s, two calls 10 s, the floor 30 s.
UNAVAILABLE_ENDS, DENIED_ENDS = 120.0, 352.0
FIRST_HOUR, LATER_HOUR = 30, 20
# Sums of floats: a microsecond is no lateness.
EPSILON = 1e-6


@dataclass(slots=True, kw_only=True)
class Denial:
    """The calls of a chain since it was first denied, in an otherwise healthy world."""

    hops: frozenset[Hop]
    began: float
    calls: list[float] = field(default_factory=list)
    walks: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Invariant 6, hour by hour."""
        for hour in range(int((max([*self.calls, self.began]) - self.began) / HOUR) + 1):
            allowed = LATER_HOUR if hour else FIRST_HOUR
            allowed += sum(len(self.hops) for at in self.walks if int((at - self.began) / HOUR) == hour)
            made = sum(1 for at in self.calls if int((at - self.began) / HOUR) == hour)
            assert made <= allowed, f"6: {made} calls in hour {hour + 1} of a denial"


class Witness:
    """Sees what happens to the ledger of `targets`; raises AssertionError with the number of a broken invariant.

    `walk` is the seconds that one healthy walk may take, the wait for the next look included.
    """

    def __init__(self, targets: tuple[Target, ...], walk: float) -> None:
        self.targets, self.walk = targets, walk
        self.wrong: dict[str, bool] = {}  # the faults that last, and whether they are denials
        self.calm = -inf  # since when nothing is wrong
        self.unavailable = self.denied = -inf  # the last instant at which it was
        self.hidden = 0  # refreshes that came after an outage, in time
        self._life: dict[str, tuple[float, float]] = {}
        self._mourned: set[str] = set()
        self._denials: dict[frozenset[Hop], Denial] = {}
        self._twofold = all(each.hop.position == 2 for each in targets)

    def issued(self, of: Session) -> float:
        """When STS issued a session."""
        return self._life[of.credentials.access_key_id][0]

    def look(self, ledger: Ledger, now: float) -> None:
        """What a workload would get at this instant (1), and whether it had to come to this (4)."""
        for each in self.targets:
            held = ledger.of(each.hop)
            if held.schedule.phase(now) in (Phase.FRESH, Phase.STALE):
                assert held.session is not None, "1: served without a session"
                assert held.session.identity.is_of(each.hop.role), "1: another role is served"
                assert now < self._until(held.session) - FLOOR + EPSILON, "1: expired credentials are served"
            elif held.session and held.session.credentials.access_key_id not in self._mourned:
                self._mourned.add(held.session.credentials.access_key_id)
                self._excused(self._until(held.session))

    def kept(self, before: Ledger, after: Ledger, now: float) -> None:
        """A ledger was replaced without a success: everything held is held still (2)."""
        for hop, held in before.held.items():
            found = after.of(hop)
            if found is held:
                continue
            assert found.session is held.session, "2: a session was discarded"
            assert found.schedule.expiration == held.schedule.expiration, "2: an expiration was moved"
            assert found.schedule.is_alive(now) is held.schedule.is_alive(now), "2: a session is served no more"

    def called(self, hop: Hop, now: float) -> None:
        """STS is asked."""
        for denial in self._denials.values():
            if hop in denial.hops:
                denial.calls.append(now)

    def granted(self, ledger: Ledger, hop: Hop, new: Session, *, issued: float, until: float, now: float) -> None:
        """A session arrived, `ledger` does not know it yet: what it replaces is as old as it gets (5)."""
        self._life[new.credentials.access_key_id] = (issued, until)
        schedule = ledger.of(hop).schedule
        if not any(each.hop == hop for each in self.targets):
            return
        for denial in self._denials.values():
            if hop in denial.hops and denial.calls:
                denial.calls.pop()  # it brought what it was made for
        if schedule.refreshed == -inf:
            return
        left, lifetime = schedule.expiration - now, schedule.expiration - schedule.refreshed
        if not self.wrong and self.calm <= schedule.refreshed:
            assert left >= lifetime / 2 - self.walk, f"5: {left:.0f} s of {lifetime:.0f} s were left"
        elif left > FLOOR and now > schedule.due + self.walk:
            self.hidden += 1

    def scheduled(self, ledger: Ledger, hop: Hop, now: float) -> None:
        """An outcome is in the ledger (3)."""
        assert ledger.of(hop).schedule.due > now, "3: due is not in the future"

    def failed(self, hop: Hop, kind: Kind, now: float, *, lingering: bool = False) -> None:
        """A call failed; `lingering` if the fault itself has no end but the renewal of what it made worthless."""
        if lingering:
            self._was_wrong(now, denied=kind is Kind.DENIED)
        if kind is Kind.DENIED and self._twofold and list(self.wrong.values()) == [True]:
            for view in self._views(hop):
                self._denials.setdefault(view, Denial(hops=view, began=now, calls=[now]))

    def walked(self, now: float) -> None:
        """A rotation or somebody's wish makes one walk."""
        for denial in self._denials.values():
            denial.walks.append(now)

    def began(self, fault: str, *, denied: bool) -> None:
        """Something is wrong from now on."""
        self.settle()
        self.wrong[fault] = denied

    def ended(self, fault: str, now: float) -> None:
        """It no longer is."""
        self.settle()
        self._was_wrong(now, denied=self.wrong.pop(fault))

    def restarted(self, now: float) -> None:
        """The sidecar ended, and a new life begins."""
        self.settle()
        self._was_wrong(now, denied=False)

    def settle(self) -> None:
        """The calls of a denial are counted (6)."""
        for denial in self._denials.values():
            denial.check()
        self._denials.clear()

    def _views(self, hop: Hop) -> list[frozenset[Hop]]:
        """Whose calls are counted: of all targets if the hop that they share is denied, else of each alone."""
        chains = [frozenset(each.hop.chain) for each in self.targets if hop in each.hop.chain]
        return [frozenset().union(*chains)] if hop.source is None else chains

    def _was_wrong(self, now: float, *, denied: bool) -> None:
        self.calm = max(self.calm, now)
        if denied:
            self.denied = max(self.denied, now)
        else:
            self.unavailable = max(self.unavailable, now)

    def _until(self, of: Session) -> float:
        return self._life[of.credentials.access_key_id][1]

    def _excused(self, expiration: float) -> None:
        unavailable = inf if False in self.wrong.values() else self.unavailable
        denied = inf if True in self.wrong.values() else self.denied
        excused = unavailable > expiration - UNAVAILABLE_ENDS or denied > expiration - DENIED_ENDS
        assert excused, (
            f"4: expired, though the last outage ended {expiration - unavailable:.0f} s before and "
            f"the last denial {expiration - denied:.0f} s"
        )
