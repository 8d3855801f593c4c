"""What Prometheus sees. Seconds, totals, and timestamps rather than countdowns.

Three sources: events are counted as they happen, requests are counted by the endpoint's meter, and what depends on the
time or on what is held is read at the scrape. Label values are bounded by the configuration and the tables here, every
series exists from the first scrape, and none holds a secret, a role or an account.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder

from sidecar import __version__
from sidecar.contract import Refusal
from sidecar.errors import TokenTrouble
from sidecar.events import Attempt, Event, HopFailed, HopSucceeded, TokenFailed, TokenRead
from sidecar.ledger import Held, Picture, trouble
from sidecar.model import Hop, Kind, Phase, Target
from sidecar.remedies import known

PREFIX = "credential_sidecar_"
OTHER = "other"  # whatever code AWS invents that we have no words for
STATUSES = (200, 403, 503)
_KINDS: dict[str, Any] = {"gauge": prometheus.Gauge, "counter": prometheus.Counter, "histogram": prometheus.Histogram}
BUCKETS = {
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


def _defined(row: str) -> Definition:
    kind, name, labels, meaning = row.split(maxsplit=3)
    return Definition(kind, name, () if labels == "-" else tuple(labels.split(",")), meaning)


def defined(path: Path) -> tuple[Definition, ...]:
    """The rows of a table: kind, name, labels, meaning; a timestamp is Unix seconds."""
    return tuple(map(_defined, path.read_text("ascii").splitlines()))


DEFINITIONS = defined(Path(__file__).with_suffix(".txt"))


class Metrics:
    """The registry of one daemon: an observer of events, the endpoint's meter, and the text for `/metrics`.

    `look` is called at every scrape.
    """

    def __init__(self, targets: Sequence[Target], look: Callable[[], Picture]) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there
        self._targets, self._look = tuple(targets), look
        self._registry = prometheus.CollectorRegistry()
        self._packed: dict[Hop, int] = {}
        self._metrics = {each.name: metric(each, self._registry, BUCKETS) for each in DEFINITIONS}
        self._counters = {(name, *labels): self._series(name, *labels) for name, *labels in self._counted()}
        prometheus.ProcessCollector(registry=self._registry)
        prometheus.PlatformCollector(registry=self._registry)

    def observe(self, event: Event) -> None:
        """Counts what an event says."""
        match event:
            case HopSucceeded(attempt=attempt, packed=packed):
                self._count_call(attempt)
                self._packed[attempt.hop] = packed or 0
                for name in [target.name for target in self._targets if target.hop == attempt.hop]:
                    self._series("refreshes_total", name, "success").inc()
            case HopFailed(attempt=attempt, failure=failure):
                self._count_call(attempt)
                code = failure.code if failure.code in known(attempt.hop.position) else OTHER
                for name in attempt.targets:
                    self._series("refreshes_total", name, failure.kind).inc()
                    self._series("hop_failures_total", name, attempt.hop.position, code).inc()
            case TokenRead(rotated=True):
                self._series("token_rotations_total").inc()
            case TokenFailed(reason=reason):
                self._series("token_errors_total", reason).inc()
            case _:
                pass

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        """Counts a request that was answered on its merits."""
        self._counters["requests_total", target, status].inc()
        self._metrics["request_duration_seconds"].observe(seconds)
        if lifetime is not None:
            self._metrics["served_lifetime_seconds"].observe(lifetime)

    def refused(self, reason: str) -> None:
        """Counts a request that was turned away."""
        self._series("refused_total", reason).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else the text format."""
        for name, value, *labels in self._gauges(self._look()):
            self._series(name, *labels).set(value)
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _series(self, name: str, *labels: object) -> Any:
        """The one series of these label values; it exists from the first time that it is asked for."""
        metric = self._metrics[name]
        return metric.labels(*labels) if labels else metric

    def _count_call(self, attempt: Attempt) -> None:
        if attempt.region is not None:
            self._series("sts_calls_total", attempt.hop.position, attempt.region).inc()
            self._series("hop_duration_seconds", attempt.hop.position).observe(attempt.seconds)

    def _counted(self) -> Iterator[tuple[Any, ...]]:
        """Name and labels of every series that will ever be counted: a rate needs a zero to begin at."""
        yield from (("refused_total", reason) for reason in Refusal)
        yield from (("token_errors_total", reason) for reason in TokenTrouble)
        for target in self._targets:
            yield from (("requests_total", target.name, status) for status in STATUSES)
            yield from (("refreshes_total", target.name, outcome) for outcome in ("success", *Kind))
            for hop in target.hop.chain:
                at, codes = hop.position, (*known(hop.position), OTHER)
                yield "hop_duration_seconds", at
                yield from (("sts_calls_total", at, region) for region in hop.regions)
                yield from (("hop_failures_total", target.name, at, code) for code in codes)

    def _gauges(self, reading: Picture) -> Iterator[tuple[Any, ...]]:
        """Name, value and labels of everything that is true at the moment of the scrape."""
        yield "build_info", 1, __version__
        yield "clock_skew_seconds", reading.skew or 0
        yield "token_expiration_timestamp_seconds", reading.token_expiration or 0
        for target in self._targets:
            held, wrong, name = reading.ledger.of(target.hop), trouble(reading.ledger, target), target.name
            yield "consecutive_failures", wrong.failures if wrong else 0, name
            yield "credentials_expiration_timestamp_seconds", _expires(held), name
            yield "credentials_refreshed_timestamp_seconds", reading.unix(held.schedule.refreshed) or 0, name
            now = held.schedule.phase(reading.now)
            yield from (("phase", phase is now, name, phase) for phase in Phase)
            for hop in target.hop.chain:
                yield "hop_expiration_timestamp_seconds", _expires(reading.ledger.of(hop)), name, hop.position
                yield "packed_policy_ratio", self._packed.get(hop, 0) / 100, name, hop.position


def metric(each: Definition, registry: prometheus.CollectorRegistry, buckets: Mapping[str, Sequence[float]]) -> Any:
    """The metric in the client library's terms, in `registry`; `buckets` are those of the histograms by their names."""
    more = {"buckets": buckets[each.name]} if each.name in buckets else {}
    return _KINDS[each.kind](PREFIX + each.name, each.meaning, each.labels, registry=registry, **more)


def _expires(held: Held) -> float:
    return held.session.credentials.expiration.timestamp() if held.session else 0.0
