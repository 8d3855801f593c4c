"""The whole state as one frozen value, and the one question: which hop is to be called now?

`next_call` starts at a target's last hop. Not due: nothing to do. Due: it is called if the session of its source can
sign, otherwise the question goes to the source, down to the hop that spends the token. So "walk" is the word for
asking `next_call` until it answers None, and everything that walks (the daemon, `once`, the simulations) asks it.

Equal hops are one entry: a prefix that several chains share is walked once, fails once and backs off once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from sidecar.model import Failure, Hop, Kind, Session, Target
from sidecar.schedule import Schedule

# A denied hop blames its source session only if that is older than this: a younger one came with the same walk.
OLD = 60.0
# "Refresh now" is granted at most this often, so that a loop of signals is not a loop of STS calls.
ASKING = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is known of one hop: when it is called again, and the session of its last success."""

    schedule: Schedule = field(default_factory=Schedule)
    session: Session | None = None


_NOTHING = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What keeps a target from being refreshed: the hop that failed last, how, since when in this way, how often."""

    hop: Hop
    failure: Failure
    since: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Every hop that was ever called, keyed by all that shapes its session."""

    held: Mapping[Hop, Held] = field(default_factory=lambda: MappingProxyType({}))
    asked_at: float = -inf

    def of(self, hop: Hop) -> Held:
        """The entry of `hop`; an empty one if it was never called."""
        return self.held.get(hop, _NOTHING)

    def succeeded(self, hop: Hop, session: Session, *, lifetime: float, now: float, chance: float) -> "Ledger":
        """`hop` yielded `session`, which STS lets live for `lifetime` more seconds (≥ SHORTEST)."""
        schedule = self.of(hop).schedule.succeeded(lifetime=lifetime, now=now, chance=chance)
        return replace(self, held=MappingProxyType({**self.held, hop: Held(schedule=schedule, session=session)}))

    def failed(self, hop: Hop, failure: Failure, *, now: float, chance: float) -> "Ledger":
        """`hop` yielded nothing. Its session stays; its source is spent where it is to blame."""
        ledger = _rescheduled(self, [hop], lambda schedule: schedule.failed(failure, now=now, chance=chance))
        return _rescheduled(ledger, _to_blame(ledger, hop), Schedule.spent)

    def rotated(self, token_file: str, now: float) -> "Ledger":
        """The token changed: first hops that failed with the old one are due."""
        hops = [h for h, held in self.held.items() if h.token_file == token_file and held.schedule.failures]
        return _rescheduled(self, hops, lambda schedule: schedule.hurried(now))

    def asked(self, targets: Iterable[Target], now: float) -> "Ledger":
        """Refresh now: every hop of the targets is due; the same ledger if it was asked a moment ago."""
        if now - self.asked_at < ASKING:
            return self
        hops = [hop for target in targets for hop in target.hop.chain if hop in self.held]
        return replace(_rescheduled(self, hops, lambda schedule: schedule.hurried(now)), asked_at=now)


@dataclass(frozen=True, slots=True)
class Picture:
    """What metrics and status are made from: the ledger at the instant `now`, which is `wall` in Unix seconds.

    `turned` is the instant of the refresher's last turn, `skew` by how many seconds STS's clock is ahead and
    `token_expiration` the earliest end of a projected token in Unix seconds, None where unknown; `is_stopping` once
    the daemon was told to end.
    """

    ledger: Ledger
    now: float
    wall: float
    turned: float
    skew: float | None = None
    token_expiration: float | None = None
    is_stopping: bool = False

    def unix(self, instant: float) -> float | None:
        """An instant of our own clock in Unix seconds; None for what never happened."""
        return None if instant == -inf else self.wall + instant - self.now


def _rescheduled(ledger: Ledger, hops: Iterable[Hop], change: Callable[[Schedule], Schedule]) -> Ledger:
    changed = {hop: replace(ledger.of(hop), schedule=change(ledger.of(hop).schedule)) for hop in hops}
    return replace(ledger, held=MappingProxyType({**ledger.held, **changed}))


def next_call(ledger: Ledger, target: Target, now: float) -> Hop | None:
    """The deepest hop to renew before `target` is fresh; None: nothing is due, or its source backs off."""
    if now < ledger.of(target.hop).schedule.due:
        return None
    hop = _needed(ledger, target.hop, now)
    return None if ledger.of(hop).schedule.backs_off(now) else hop


def wake(ledger: Ledger, target: Target, now: float) -> float:
    """When to put the question to `next_call` again: `now` if it has an answer already."""
    due = ledger.of(target.hop).schedule.due
    if now < due:
        return due
    needed = ledger.of(_needed(ledger, target.hop, now)).schedule
    return needed.due if needed.backs_off(now) else now


def trouble(ledger: Ledger, target: Target) -> Trouble | None:
    """The latest failure on `target`'s chain that its own success has not outlived."""
    refreshed = ledger.of(target.hop).schedule.refreshed
    streaks = [(hop, ledger.of(hop).schedule.streak) for hop in target.hop.chain]
    live = [(streak, hop) for hop, streak in streaks if streak and streak.last > refreshed]
    if not live:
        return None
    streak, hop = max(live, key=lambda pair: pair[0].last)
    return Trouble(hop=hop, failure=streak.error, since=streak.since, failures=streak.failures)


def region(schedule: Schedule, regions: tuple[str, ...]) -> str:
    """Where to ask: the primary after 0, 2, 4 … failures, the fallbacks in turn after 1, 3, 5 …

    A refusal by the primary is IAM's word, which no other region will contradict: it is asked again.
    """
    primary, *fallbacks = regions
    denied = schedule.streak is not None and schedule.streak.error.kind is Kind.DENIED
    if not fallbacks or denied or schedule.failures % 2 == 0:
        return primary
    return fallbacks[schedule.failures // 2 % len(fallbacks)]


def _needed(ledger: Ledger, hop: Hop, now: float) -> Hop:
    """The hop to call so that `hop` gets nearer to a new session: `hop` itself when its source can sign."""
    while hop.source is not None and not _signs(ledger.of(hop.source).schedule, now):
        hop = hop.source
    return hop


def _signs(source: Schedule, now: float) -> bool:
    """Whether a source session signs as it is: it is young enough, or it lives while its renewal backs off."""
    if now < source.lapse:
        return True
    return source.lapse > -inf and source.is_alive(now) and source.backs_off(now)


def _to_blame(ledger: Ledger, hop: Hop) -> tuple[Hop, ...]:
    """The source hops whose sessions are spent by the failure of `hop`: at most once in a streak of failures.

    A source that STS no longer knows takes all below it along; a denial blames an old source session alone, since
    what its role may do, or the role itself, can have changed after it was issued.
    """
    streak = ledger.of(hop).schedule.streak
    if hop.source is None or streak is None:
        return ()
    refreshed = ledger.of(hop.source).schedule.refreshed
    if refreshed > streak.began:  # it was renewed in this streak already
        return ()
    match streak.error.kind:
        case Kind.SOURCE_GONE:
            return hop.source.chain
        case Kind.DENIED if streak.last - refreshed > OLD:
            return (hop.source,)
        case _:
            return ()
