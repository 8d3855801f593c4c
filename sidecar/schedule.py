"""When one hop is called again: a value that its outcomes replace.

    EMPTY ──succeeded──▶ FRESH ──now ≥ due──▶ STALE ──now ≥ expiration − 30 s──▶ EXPIRED
                           ▲                    │                                  │
                           └───── succeeded ────┴──────────── succeeded ───────────┘

Fresh and stale are served. A failure moves only `due`: it never changes the phase and never touches a session.
Time and chance are arguments: instants are seconds of the sidecar's own clock (CLOCK_BOOTTIME), chance is in [0, 1).

Kept here, for every order of outcomes:
- after `succeeded` and `failed`, `due` is in the future;
- a failure leaves `refreshed`, `expiration` and `lapse` as they were;
- a session is replaced with 50 to 60 % of its life left, unless STS fails.
"""

from dataclasses import dataclass, replace
from math import inf

from sidecar.model import Failure, Kind, Phase

# What is left below this is not served: opendal refuses under 10 s, JS v2 under 15 s, and a request must still arrive.
FLOOR = 30.0
# A session that arrives with less is a failure: it would be under the floor before it is of use.
SHORTEST = 60.0
# A source session with less life than this is renewed before it signs: two calls and a retry fit in it.
LAPSE = 300.0
# Refresh at 40 to 50 % of life: 30 to 36 minutes of a one-hour session are left, outside every SDK's own window,
# and a fleet that started together drifts apart.
DUE_AT, DUE_SPREAD = 0.5, 0.1
# The last doubling that counts: 2^9 s is above every cap, and the exponent stays bounded.
DOUBLINGS = 9
# A retry comes after 75 to 100 % of its backoff.
BACKOFF_AT, BACKOFF_SPREAD = 0.75, 0.25
# STS that could not be asked is asked again within a minute. STS that refused wants IAM changed: a broken trust
# policy must not become a denial of service on the account's own STS quota.
CAPS = {Kind.UNAVAILABLE: 60.0, Kind.SOURCE_GONE: 60.0, Kind.DENIED: 300.0, Kind.TOKEN: 300.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Failures without a success between them: how many, the last one and its instant.

    `began` is the instant of the first of them, `since` that from which all were of `error`'s kind.
    """

    failures: int
    error: Failure
    last: float
    began: float
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One hop's life: instants in seconds, `-inf` where the thing never happened.

    `due` is the next instant at which the hop may be called; `lapse` the instant from which its session wants renewal
    before it signs the hop above; `streak` is None after a success.
    """

    due: float = -inf
    refreshed: float = -inf
    expiration: float = -inf
    lapse: float = -inf
    streak: Streak | None = None

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self.streak.failures if self.streak else 0

    def phase(self, now: float) -> Phase:
        """Derived from the instants, never stored."""
        if self.expiration == -inf:
            return Phase.EMPTY
        if now >= self.expiration - FLOOR:
            return Phase.EXPIRED
        return Phase.STALE if self.streak or now >= self.due else Phase.FRESH

    def is_alive(self, now: float) -> bool:
        """Whether the session is served, and may sign."""
        return now < self.expiration - FLOOR

    def backs_off(self, now: float) -> bool:
        """Whether a failure keeps the hop from being called."""
        return self.streak is not None and now < self.due

    def succeeded(self, *, lifetime: float, now: float, chance: float) -> "Schedule":
        """The schedule after a session with `lifetime` seconds (≥ SHORTEST) left has arrived."""
        if lifetime < SHORTEST:
            raise ValueError(f"a session of {lifetime:.0f} s is a failure, not a success")
        due = now + lifetime * (DUE_AT - DUE_SPREAD * chance)
        expiration = now + lifetime
        return Schedule(due=due, refreshed=now, expiration=expiration, lapse=max(due, expiration - LAPSE))

    def failed(self, error: Failure, *, now: float, chance: float) -> "Schedule":
        """The schedule after an attempt that brought nothing: the same session, a later `due`."""
        before = self.streak or Streak(failures=0, error=error, last=now, began=now, since=now)
        since = before.since if before.error.kind is error.kind else now
        streak = replace(before, failures=before.failures + 1, error=error, last=now, since=since)
        backoff = min(CAPS[error.kind], 2.0 ** min(streak.failures, DOUBLINGS))
        return replace(self, due=now + backoff * (BACKOFF_AT + BACKOFF_SPREAD * chance), streak=streak)

    def hurried(self, now: float) -> "Schedule":
        """Due now. The count of failures stays: only success resets it."""
        return replace(self, due=min(self.due, now))

    def spent(self) -> "Schedule":
        """The session signs no more, although it may still be served."""
        return replace(self, lapse=-inf)
