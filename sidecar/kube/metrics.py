"""What Prometheus sees of the webhook; the same habits as the daemon's metrics, in a registry of its own."""

from collections.abc import Callable
from pathlib import Path

import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder

from sidecar import __version__
from sidecar.events import Event
from sidecar.kube.certificates import CertificateFailed, CertificateLoaded
from sidecar.kube.reviews import OUTCOMES
from sidecar.metrics import defined, metric

DEFINITIONS = defined(Path(__file__).with_suffix(".txt"))
# A pod of 5 KiB takes a fifth of a millisecond; all that API servers wait is 5 s, and that is what 1 MiB never takes.
BUCKETS = {"webhook_review_duration_seconds": (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)}


class Metrics:
    """The registry of one webhook; `expiration` gives that of the certificate, in Unix seconds, at every scrape."""

    def __init__(self, expiration: Callable[[], float]) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there
        self._registry = prometheus.CollectorRegistry()
        self._metrics = {each.name: metric(each, self._registry, BUCKETS) for each in DEFINITIONS}
        self._metrics["build_info"].labels(__version__).set(1)
        self._metrics["webhook_certificate_expiration_timestamp_seconds"].set_function(expiration)
        reviews, loads = (self._metrics[f"webhook_{name}_total"] for name in ("reviews", "certificate_loads"))
        self._reviews = {outcome: reviews.labels(outcome) for outcome in OUTCOMES}
        self._loads = {outcome: loads.labels(outcome) for outcome in ("success", "failure")}
        prometheus.ProcessCollector(registry=self._registry)
        prometheus.PlatformCollector(registry=self._registry)

    def observe(self, event: Event) -> None:
        """Counts what an event says."""
        match event:
            case CertificateLoaded():
                self._loads["success"].inc()
            case CertificateFailed():
                self._loads["failure"].inc()
            case _:
                pass

    def answered(self, outcome: str, seconds: float) -> None:
        """Counts an answer."""
        self._reviews[outcome].inc()
        self._metrics["webhook_review_duration_seconds"].observe(seconds)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else the text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
