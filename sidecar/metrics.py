"""What Prometheus sees. Seconds, totals, and timestamps rather than countdowns.

Three sources: events are counted as they happen, requests are counted by the endpoint's meter, and what depends on the
time or on what is held is read at the scrape. Label values are bounded by the configuration and the tables here, every
series exists from the first scrape, and none holds a secret, a role or an account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar import __version__
from sidecar.contract import Refusal
from sidecar.errors import TokenTrouble
from sidecar.events import Event, HopFailed, HopSucceeded, TokenFailed, TokenRead
from sidecar.ledger import Ledger, trouble
from sidecar.model import Hop, Kind, Phase, Target

PREFIX = "credential_sidecar_"
OTHER = "other"
# The codes a hop can fail with that are worth telling apart; whatever else AWS invents is `other`.
_ANY_HOP = (
    "AccessDenied",
    "BadAnswer",
    "ConnectionError",
    "ExpiredTokenException",
    "MalformedPolicyDocument",
    "PackedPolicyTooLarge",
    "RegionDisabledException",
    "ShortSession",
    "Throttling",
    "Timeout",
    "ValidationError",
    "WrongIdentity",
    OTHER,
)
_FIRST_HOP = (
    "IDPCommunicationError",
    "IDPRejectedClaim",
    "InvalidIdentityToken",
    *(f"Token{reason.capitalize()}" for reason in TokenTrouble),
)
_LATER_HOP = ("ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch")
# An STS call takes 0.1 s in the region, 0.5 s across the world, and is given up after 5 s.
_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# The floor, then the SDKs' refresh windows (5, 10, 15, 20 minutes), then what a healthy one-hour session has left.
_LIFETIMES = (30.0, 60.0, 300.0, 600.0, 900.0, 1200.0, 1740.0, 2160.0, 3600.0)
# From memory in well under a millisecond; 0.05 is the promise, 0.8 the longest wait for the first credentials.
_REQUEST_SECONDS = (0.0001, 0.001, 0.05, 0.8)
_STATUSES = ("200", "403", "503")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric: its name without the prefix, its labels and what it means."""

    name: str
    labels: tuple[str, ...]
    meaning: str


def _defined(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name=name, labels=labels, meaning=meaning)


EXPIRATION = _defined(
    "credentials_expiration_timestamp_seconds", "When the served credentials expire; 0 before the first.", "target"
)
REFRESHED = _defined(
    "credentials_refreshed_timestamp_seconds", "When the served credentials arrived; 0 before the first.", "target"
)
HOP_EXPIRATION = _defined(
    "hop_expiration_timestamp_seconds",
    "When a hop's session expires; that of a hop that is only a source lapses between walks.",
    "target",
    "hop",
)
TOKEN_EXPIRATION = _defined(
    "token_expiration_timestamp_seconds", "When the projected token expires, the earliest of several; 0 without one."
)
PHASE = _defined("phase", "1 for the phase that a target is in: empty, fresh, stale or expired.", "target", "phase")
FAILURES = _defined(
    "consecutive_failures", "Failures since the last success of the hop that keeps a target back.", "target"
)
SKEW = _defined("clock_skew_seconds", "How far STS's clock is ahead of the node's; 0 before STS has answered.")
PACKED = _defined(
    "packed_policy_ratio", "Share of the space for session policy and tags that is used.", "target", "hop"
)
BUILD = _defined("build_info", "1, with the version of the sidecar.", "version")
ROTATIONS = _defined("token_rotations_total", "Projected tokens that replaced another.")
TOKEN_ERRORS = _defined("token_errors_total", "Looks at the token file that found a new trouble.", "reason")
REFRESHES = _defined("refreshes_total", "Attempts to refresh a target, by how they ended.", "target", "outcome")
HOP_FAILURES = _defined("hop_failures_total", "Failed attempts at a hop, by code.", "target", "hop", "code")
HOP_SECONDS = _defined("hop_duration_seconds", "How long STS took for a hop.", "hop")
STS_CALLS = _defined("sts_calls_total", "Calls made to STS.", "hop", "region")
REQUESTS = _defined("requests_total", "Requests that were answered on a target's merits.", "target", "status")
REFUSED = _defined("refused_total", "Requests that were turned away.", "reason")
REQUEST_SECONDS = _defined("request_duration_seconds", "How long an answer on the merits took.")
SERVED = _defined("served_lifetime_seconds", "Life that was left in credentials at the moment of serving.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a scrape looks at: the ledger, the instants now (the sidecar's clock and Unix), the tokens' earliest
    expiration and STS's skew, None where unknown."""

    ledger: Ledger
    now: float
    wall: float
    token_expiration: float | None
    skew: float | None


class Metrics:
    """The registry of one daemon: an observer of events, the endpoint's meter, and the text for `/metrics`.

    `look` is called at every scrape.
    """

    def __init__(self, targets: Sequence[Target], look: Callable[[], Reading]) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self._targets = tuple(targets)
        self._counted = _Counted(self.registry, self._targets)
        self.registry.register(_Held(self._targets, look, self._counted))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._answered = {
            (t.name, status): self._counted.requests(t.name, status) for t in targets for status in _STATUSES
        }

    def observe(self, event: Event) -> None:
        """Counts what an event says."""
        match event:
            case HopSucceeded() | HopFailed():
                self._counted.attempt(event, self._targets)
            case TokenRead(rotated=True):
                self._counted.rotations.inc()
            case TokenFailed(reason=reason):
                self._counted.token_errors.labels(reason).inc()
            case _:
                pass

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        """Counts a request that was answered on its merits."""
        self._answered[target, str(status)].inc()
        self._counted.request_seconds.observe(seconds)
        if lifetime is not None:
            self._counted.served.observe(lifetime)

    def refused(self, reason: str) -> None:
        """Counts a request that was turned away."""
        self._counted.refused.labels(reason).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else the text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Counted:
    """The counters and histograms, with every series they will ever have."""

    def __init__(self, registry: CollectorRegistry, targets: Sequence[Target]) -> None:
        def counter(of: Definition) -> Counter:
            return Counter(PREFIX + of.name, of.meaning, of.labels, registry=registry)

        def histogram(of: Definition, buckets: Sequence[float]) -> Histogram:
            return Histogram(PREFIX + of.name, of.meaning, of.labels, registry=registry, buckets=buckets)

        self.rotations = counter(ROTATIONS)
        self.token_errors = counter(TOKEN_ERRORS)
        self.refreshes = counter(REFRESHES)
        self.hop_failures = counter(HOP_FAILURES)
        self.hop_seconds = histogram(HOP_SECONDS, _CALL_SECONDS)
        self.sts_calls = counter(STS_CALLS)
        self._requests = counter(REQUESTS)
        self.refused = counter(REFUSED)
        self.request_seconds = histogram(REQUEST_SECONDS, _REQUEST_SECONDS)
        self.served = histogram(SERVED, _LIFETIMES)
        self.packed: dict[Hop, int] = {}
        self._create(targets)

    def requests(self, target: str, status: str) -> Counter:
        """The child that the endpoint counts on, found once."""
        return self._requests.labels(target, status)

    def attempt(self, event: HopSucceeded | HopFailed, targets: Sequence[Target]) -> None:
        """One attempt at a hop, for every target on whose behalf it was made."""
        position = str(event.hop.position)
        if event.region is not None:
            self.sts_calls.labels(position, event.region).inc()
            self.hop_seconds.labels(position).observe(event.seconds)
        if isinstance(event, HopFailed):
            self._failed(event, position)
            return
        if event.packed is not None:
            self.packed[event.hop] = event.packed
        for target in targets:
            if target.hop == event.hop:
                self.refreshes.labels(target.name, "success").inc()

    def _failed(self, event: HopFailed, position: str) -> None:
        code = event.failure.code
        label = code if code in _codes(event.hop.position) else OTHER
        for name in event.targets:
            self.refreshes.labels(name, event.failure.kind).inc()
            self.hop_failures.labels(name, position, label).inc()

    def _create(self, targets: Iterable[Target]) -> None:
        for reason in TokenTrouble:
            self.token_errors.labels(reason)
        for refusal in Refusal:
            self.refused.labels(refusal)
        for target in targets:
            for outcome in ("success", *Kind):
                self.refreshes.labels(target.name, outcome)
            for hop in target.hop.chain:
                position = str(hop.position)
                self.hop_seconds.labels(position)
                for region in hop.regions:
                    self.sts_calls.labels(position, region)
                for code in _codes(hop.position):
                    self.hop_failures.labels(target.name, position, code)


def _codes(position: int) -> tuple[str, ...]:
    return (*_ANY_HOP, *(_FIRST_HOP if position == 1 else _LATER_HOP))


class _Held(Collector):
    """What is true at the moment of the scrape."""

    def __init__(self, targets: Sequence[Target], look: Callable[[], Reading], counted: _Counted) -> None:
        self._targets, self._look, self._counted = targets, look, counted

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing of it clashes, and describing by collecting would look before there is anything to see

    def collect(self) -> Iterator[Metric]:
        reading = self._look()
        yield _gauge(BUILD, [((__version__,), 1.0)])
        yield _gauge(SKEW, [((), reading.skew or 0.0)])
        yield _gauge(TOKEN_EXPIRATION, [((), reading.token_expiration or 0.0)])
        yield _gauge(EXPIRATION, [((t.name,), _expires(reading, t.hop)) for t in self._targets])
        yield _gauge(REFRESHED, [((t.name,), _refreshed(reading, t.hop)) for t in self._targets])
        yield _gauge(HOP_EXPIRATION, [(place, _expires(reading, hop)) for place, hop in self._places()])
        yield _gauge(PACKED, [(place, self._counted.packed.get(hop, 0) / 100) for place, hop in self._places()])
        yield _gauge(FAILURES, [((t.name,), _failures(reading, t)) for t in self._targets])
        yield _gauge(PHASE, [((t.name, p), float(_phase(reading, t) is p)) for t in self._targets for p in Phase])

    def _places(self) -> Iterator[tuple[tuple[str, str], Hop]]:
        for target in self._targets:
            for hop in target.hop.chain:
                yield (target.name, str(hop.position)), hop


def _gauge(of: Definition, samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + of.name, of.meaning, labels=of.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _expires(reading: Reading, hop: Hop) -> float:
    session = reading.ledger.of(hop).session
    return session.credentials.expiration.timestamp() if session else 0.0


def _refreshed(reading: Reading, hop: Hop) -> float:
    refreshed = reading.ledger.of(hop).schedule.refreshed
    return 0.0 if refreshed == -inf else reading.wall - (reading.now - refreshed)


def _failures(reading: Reading, target: Target) -> float:
    wrong = trouble(reading.ledger, target)
    return float(wrong.failures) if wrong else 0.0


def _phase(reading: Reading, target: Target) -> Phase:
    return reading.ledger.of(target.hop).schedule.phase(reading.now)


DEFINITIONS: tuple[tuple[Definition, str, str], ...] = tuple(
    (definition, kind, unit)
    for kind, unit, definitions in (
        ("gauge", "Unix seconds", (EXPIRATION, REFRESHED, HOP_EXPIRATION, TOKEN_EXPIRATION)),
        ("gauge", "seconds", (SKEW,)),
        ("gauge", "ratio", (PACKED,)),
        ("gauge", "", (PHASE, FAILURES, BUILD)),
        ("counter", "", (ROTATIONS, TOKEN_ERRORS, REFRESHES, HOP_FAILURES, STS_CALLS, REQUESTS, REFUSED)),
        ("histogram", "seconds", (HOP_SECONDS, REQUEST_SECONDS, SERVED)),
    )
    for definition in definitions
)
