"""What Prometheus sees. Seconds, totals, and timestamps rather than countdowns.

Three sources: events are counted as they happen, requests are counted by the endpoint's meter, and what depends on the
time or on what is held is read at the scrape. Label values are bounded by the configuration and the tables here, every
series exists from the first scrape, and none holds a secret, a role or an account.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar import __version__
from sidecar.contract import Refusal
from sidecar.errors import TokenTrouble
from sidecar.events import Event, HopFailed, HopSucceeded, TokenFailed, TokenRead
from sidecar.ledger import Held, Reading, trouble
from sidecar.model import Hop, Kind, Phase, Target

PREFIX = "credential_sidecar_"
OTHER = "other"
# The codes a hop can fail with that are worth telling apart; whatever else AWS invents is `other`.
_ANY_HOP = ["AccessDenied", "BadAnswer", "ConnectionError", "ExpiredTokenException", "MalformedPolicyDocument"]
_ANY_HOP += ["PackedPolicyTooLarge", "RegionDisabledException", "ShortSession", "Throttling", "Timeout"]
_ANY_HOP += ["ValidationError", "WrongIdentity", OTHER]
_FIRST_HOP = ["IDPCommunicationError", "IDPRejectedClaim", "InvalidIdentityToken"]
_FIRST_HOP += [f"Token{reason.capitalize()}" for reason in TokenTrouble]
_LATER_HOP = ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"]
_STATUSES = (200, 403, 503)
_OUTCOMES = ("success", *Kind)
_BUCKETS = {
    # An STS call takes 0.1 s in the region, 0.5 s across the world, and is given up after 5 s.
    "hop_duration_seconds": (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    # The floor, then the SDKs' refresh windows (5, 10, 15, 20 minutes), then what a healthy one-hour session has left.
    "served_lifetime_seconds": (30.0, 60.0, 300.0, 600.0, 900.0, 1200.0, 1740.0, 2160.0, 3600.0),
    # From memory in well under a millisecond; 0.05 is the promise, 0.8 the longest wait for the first credentials.
    "request_duration_seconds": (0.0001, 0.001, 0.05, 0.8),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: its kind, its name without the prefix, its labels and what it means."""

    kind: str
    name: str
    labels: tuple[str, ...]
    meaning: str


# Kind, name, labels, meaning. A timestamp is Unix seconds.
_TABLE = """
gauge build_info version 1, with the version of the sidecar.
gauge clock_skew_seconds - How far STS's clock is ahead of the node's; 0 before STS has answered.
gauge consecutive_failures target Failures in a row of the hop that keeps a target back.
gauge credentials_expiration_timestamp_seconds target When the served credentials expire; 0 before the first.
gauge credentials_refreshed_timestamp_seconds target When the served credentials arrived; 0 before the first.
gauge hop_expiration_timestamp_seconds target,hop When a hop's session expires; a mere source's lapses between walks.
gauge packed_policy_ratio target,hop Share of the space for session policy and tags that is used.
gauge phase target,phase 1 for the phase that a target is in: empty, fresh, stale or expired.
gauge token_expiration_timestamp_seconds - When the projected token expires, the earliest of several; 0 without one.
counter hop_failures_total target,hop,code Failed attempts at a hop, by code.
counter refreshes_total target,outcome Attempts to refresh a target, by how they ended.
counter refused_total reason Requests that were turned away.
counter requests_total target,status Requests that were answered on a target's merits.
counter sts_calls_total hop,region Calls made to STS.
counter token_errors_total reason Looks at the token file that found a new trouble.
counter token_rotations_total - Projected tokens that replaced another.
histogram hop_duration_seconds hop How long STS took for a hop.
histogram request_duration_seconds - How long an answer on the merits took.
histogram served_lifetime_seconds - Life that was left in credentials at the moment of serving.
"""


def _defined(row: str) -> Definition:
    kind, name, labels, meaning = row.split(maxsplit=3)
    return Definition(kind, name, () if labels == "-" else tuple(labels.split(",")), meaning)


DEFINITIONS = tuple(_defined(row) for row in _TABLE.strip().splitlines())


class Metrics(Collector):
    """The registry of one daemon: an observer of events, the endpoint's meter, and the text for `/metrics`.

    `look` is called at every scrape.
    """

    def __init__(self, targets: Sequence[Target], look: Callable[[], Reading]) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there
        self.registry = prometheus.CollectorRegistry()
        self._targets, self._look = tuple(targets), look
        self._packed: dict[Hop, int] = {}
        self._of: dict[str, Any] = {}
        for each in DEFINITIONS:
            if each.kind != "gauge":
                more: dict[str, Any] = {"buckets": _BUCKETS[each.name]} if each.name in _BUCKETS else {}
                make = prometheus.Histogram if more else prometheus.Counter
                self._of[each.name] = make(
                    PREFIX + each.name, each.meaning, each.labels, registry=self.registry, **more
                )
        self._create_series()
        answered = self._of["requests_total"]
        self._answered = {(t.name, s): answered.labels(t.name, str(s)) for t in targets for s in _STATUSES}
        for collector in (
            self,
            prometheus.ProcessCollector(registry=None),
            prometheus.PlatformCollector(registry=None),
        ):
            self.registry.register(collector)

    def observe(self, event: Event) -> None:
        """Counts what an event says."""
        match event:
            case HopSucceeded() | HopFailed():
                self._count_attempt(event)
            case TokenRead(rotated=True):
                self._of["token_rotations_total"].inc()
            case TokenFailed(reason=reason):
                self._of["token_errors_total"].labels(reason).inc()
            case _:
                pass

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        """Counts a request that was answered on its merits."""
        self._answered[target, status].inc()
        self._of["request_duration_seconds"].observe(seconds)
        if lifetime is not None:
            self._of["served_lifetime_seconds"].observe(lifetime)

    def refused(self, reason: str) -> None:
        """Counts a request that was turned away."""
        self._of["refused_total"].labels(reason).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else the text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not look before there is anything to see."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What is true at the moment of the scrape."""
        samples = self._held(self._look())
        for each in DEFINITIONS:
            if each.kind == "gauge":
                family = GaugeMetricFamily(PREFIX + each.name, each.meaning, labels=each.labels)
                for labels, value in samples[each.name]:
                    family.add_metric(labels, value)
                yield family

    def _held(self, reading: Reading) -> Mapping[str, Iterable[tuple[tuple[str, ...], float]]]:
        of, unix = reading.ledger.of, reading.unix
        names = [((target.name,), target) for target in self._targets]
        places = [((target.name, str(hop.position)), hop) for target in self._targets for hop in target.hop.chain]
        phases = [(name, of(target.hop).schedule.phase(reading.now)) for (name,), target in names]
        wrongs = [(name, trouble(reading.ledger, target)) for name, target in names]
        return {
            "credentials_expiration_timestamp_seconds": [(name, _expires(of(t.hop))) for name, t in names],
            "credentials_refreshed_timestamp_seconds": [
                (n, unix(of(t.hop).schedule.refreshed) or 0.0) for n, t in names
            ],
            "hop_expiration_timestamp_seconds": [(place, _expires(of(hop))) for place, hop in places],
            "token_expiration_timestamp_seconds": [((), reading.token_expiration or 0.0)],
            "clock_skew_seconds": [((), reading.skew or 0.0)],
            "packed_policy_ratio": [(place, self._packed.get(hop, 0) / 100) for place, hop in places],
            "phase": [((name, phase), float(phase is now)) for name, now in phases for phase in Phase],
            "consecutive_failures": [(name, float(wrong.failures if wrong else 0)) for name, wrong in wrongs],
            "build_info": [((__version__,), 1.0)],
        }

    def _count_attempt(self, event: HopSucceeded | HopFailed) -> None:
        hop, position, region = event.attempt.hop, str(event.attempt.hop.position), event.attempt.region
        if region is not None:
            self._of["sts_calls_total"].labels(position, region).inc()
            self._of["hop_duration_seconds"].labels(position).observe(event.attempt.seconds)
        refreshes = self._of["refreshes_total"]
        if isinstance(event, HopSucceeded):
            self._packed[hop] = event.packed or 0
            for target in self._targets:
                if target.hop == hop:
                    refreshes.labels(target.name, "success").inc()
            return
        code = event.failure.code if event.failure.code in _codes(hop) else OTHER
        for name in event.attempt.targets:
            refreshes.labels(name, event.failure.kind).inc()
            self._of["hop_failures_total"].labels(name, position, code).inc()

    def _create_series(self) -> None:
        """Every series that there will ever be: a rate needs a zero to begin at."""
        places = [(t.name, hop, str(hop.position)) for t in self._targets for hop in t.hop.chain]
        known: dict[str, Iterable[tuple[str, ...]]] = {
            "token_errors_total": [(reason,) for reason in TokenTrouble],
            "refused_total": [(refusal,) for refusal in Refusal],
            "refreshes_total": [(t.name, outcome) for t in self._targets for outcome in _OUTCOMES],
            "hop_failures_total": [(name, at, code) for name, hop, at in places for code in _codes(hop)],
            "hop_duration_seconds": [(at,) for _, _, at in places],
            "sts_calls_total": [(at, region) for _, hop, at in places for region in hop.regions],
        }
        for metric, series in known.items():
            for labels in series:
                self._of[metric].labels(*labels)


def _codes(hop: Hop) -> list[str]:
    return _ANY_HOP + (_LATER_HOP if hop.source else _FIRST_HOP)


def _expires(held: Held) -> float:
    return held.session.credentials.expiration.timestamp() if held.session else 0.0
