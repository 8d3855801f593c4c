"""The admission webhook as a process: reviews over TLS, probes and metrics beside them, in the clear.

    API server ──TLS──▶ /v1/pods, /v1/unclear ──▶ the reviewer: nothing is awaited, and no pod is kept
    kubelet, Prometheus ──▶ /livez /readyz /metrics

On SIGTERM readiness goes red and every answer is its connection's last, so that API servers turn to other replicas;
after the drain what is in flight is finished.
"""

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from socket import socket

from sidecar import __version__, process
from sidecar.contract import Answer, Refusal, Request, compact, error, path
from sidecar.events import Event, Listening, Observe, Stopping, Throttle
from sidecar.http import Limits, Server
from sidecar.kube.certificates import Certificates
from sidecar.kube.metrics import Metrics
from sidecar.kube.reviews import Reviewer
from sidecar.model import Outside
from sidecar.settings import Address
from sidecar.sockets import bind_any, shown

# An API server keeps up to 25 connections, Go's HTTP client for 90 s: of five API servers, and closed by them first.
CONNECTIONS, IDLE = 128, 120.0
# A pod has 5 to 50 KiB; API servers take 3 MiB of anything, and a pod of so much is somebody's mistake.
LARGEST = 2**20
STATUS_CONNECTIONS = 64
# A controller tries a denied pod again and again: seconds until the same is told again.
TOLD = 60.0

_ONLY_POST = error(405, "MethodNotAllowed", "Only POST is answered here.", "Allow: POST\r\n")
_ALIVE, _READY = (Answer.of(200, compact({"status": word})) for word in ("alive", "ready"))
_STOPPING = error(503, "Stopping", "The webhook was told to end; it serves on until then.")
_EXPIRED = error(503, "CertificateExpired", "The certificate has expired, and no newer one is there.")


class WebhookStarted(Event, says="credential-sidecar {version} injects {image}"):
    """The webhook begins: its version, and the sidecar's image that pods are given."""

    version: str
    image: str


class ClusterDoubted(Event, level="warning", says="{doubt}; injected pods need Kubernetes 1.29 or later"):
    """It is not known whether the cluster has native sidecars."""

    doubt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to listen, by which setting, from which source."""

    address: Address
    setting: str
    source: str

    def bind(self) -> list[socket]:
        """Its sockets; raises ConfigError."""
        return bind_any(self.address.host, self.address.port, setting=self.setting, source=self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a webhook runs on: the image it injects, where its certificate lies, where it listens, seconds of drain."""

    image: str
    tls_dir: str
    reviews: Place
    status: Place
    drain: float


class Webhook:
    """One process's worth of it, wired; `serve` is its life. Raises ConfigError where there is no certificate."""

    def __init__(self, options: Options, reviewer: Reviewer, outside: Outside, observe: Observe) -> None:
        self._options, self._reviewer, self._clock, self._log = options, reviewer, outside.clock, observe
        self._answers = {"/v1/pods": reviewer.answer, "/v1/unclear": reviewer.unclear}
        self._is_stopping = False
        self._metrics = Metrics(lambda: self._certificates.expiration)
        self._denied = Throttle(self._observe, outside.clock, TOLD)
        self.bugs = process.Bugs(outside.clock, self._observe)
        self._certificates = Certificates(
            options.tls_dir, "command line", clock=outside.clock, wall=outside.wall, observe=self._observe
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Opens the listeners, answers until `stop`, drains, and closes them, reviews first."""
        with ExitStack() as stack:
            places = (self._options.reviews, self._options.status)
            bound = [[stack.enter_context(sock) for sock in place.bind()] for place in places]
            stack.pop_all()
        self._observe(WebhookStarted(version=__version__, image=self._options.image))
        limits = Limits(connections=CONNECTIONS, body=LARGEST, idle=IDLE)
        reviews = Server(self.review, limits, refused=_ignore, failed=lambda e: self.bugs.failed("reviews", e))
        limits = Limits(connections=STATUS_CONNECTIONS)
        status = Server(self.probe, limits, refused=_ignore, failed=lambda e: self.bugs.failed("status", e))
        try:
            await reviews.start(bound[0], self._certificates)
            self._listens("reviews", bound[0])
            await status.start(bound[1])
            self._listens("status", bound[1])
            process.settle_soon()
            await self._look_until(stop, reviews)
        finally:
            await reviews.close()
            await status.close()

    async def _look_until(self, stop: asyncio.Event, reviews: Server) -> None:
        looking = asyncio.create_task(self._certificates.run(), name="certificates")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([looking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()  # it ends by a bug alone: crash with it
            self._is_stopping = True
            reviews.retire()
            self._observe(Stopping(drain=self._options.drain))
            await asyncio.wait([looking], timeout=self._options.drain)
        finally:
            stopping.cancel()
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    def review(self, request: Request) -> Answer:
        """The answer to an API server, computed at once."""
        answer = self._answers.get(path(request.target))
        if answer is None:
            return Refusal.PATH.answer
        if request.method != "POST":
            return _ONLY_POST
        began = self._clock()
        is_whole = request.size == len(request.body)
        said = answer(request.body) if is_whole else self._reviewer.oversized(request.body, request.size)
        self._metrics.answered(said.outcome, self._clock() - began)
        if said.denied:
            self._denied(said.denied)
        return Answer.of(200, said.body)

    def probe(self, request: Request) -> Answer:
        """The answer to kubelet or Prometheus."""
        if request.method not in ("GET", "HEAD"):
            return Refusal.METHOD.answer
        match path(request.target):
            case "/livez":
                return _ALIVE
            case "/readyz":
                return _STOPPING if self._is_stopping else _READY if self._certificates.is_alive else _EXPIRED
            case "/metrics":
                body, content_type = self._metrics.render(request.headers.get("accept", ""))
                return Answer.of(200, body, content_type=content_type)
            case _:
                return Refusal.PATH.answer

    def _observe(self, event: Event) -> None:
        self._log(event)
        self._metrics.observe(event)

    def _listens(self, face: str, sockets: list[socket]) -> None:
        self._observe(Listening(face=face, addresses=tuple(shown(*sock.getsockname()[:2]) for sock in sockets)))


def _ignore(_: str) -> None:
    """What is no request is nobody's pod."""


async def run(options: Options, reviewer: Reviewer, outside: Outside, observe: Observe, doubt: str | None) -> int:
    """Serves until SIGTERM or SIGINT; answers the exit code. `doubt` is what is to be said of the cluster, if anything.

    Raises ConfigError where it cannot begin.
    """
    process.limit_files()
    webhook = Webhook(options, reviewer, outside, observe)
    if doubt:
        observe(ClusterDoubted(doubt=doubt))
    await webhook.serve(process.begin(webhook.bugs))
    return 0
