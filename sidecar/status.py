"""The status listener: three probes with three questions, the metrics, and what is held. Never a secret.

- `/livez`: would a restart help? Whether the loop turns, and nothing about STS: a restart in an outage loses sessions.
- `/readyz`, `/readyz/{target}`: can every target, or this one, be served now?
- `/status`: target, role, phase, instants, error code and our words. Not what AWS wrote, and no external id, policy,
  tag, claim or access key id.

The Host header is not looked at, since kubelet probes the pod's own address; what is here is no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf

from sidecar.contract import REFUSALS, Answer, Refusal, Request, compact, error, path
from sidecar.ledger import Ledger, Trouble, trouble
from sidecar.model import Hop, Target

# The loop turns every two seconds, and at most a few calls of five seconds keep it busy: beyond this it hangs.
STUCK = 60.0


class Status:
    """Answers on the state of `targets` by the ledger that was published last.

    `clock` is the seconds of the sidecar's own clock, `wall` Unix seconds; `turned` gives the instant of the
    refresher's last turn, `skew` how far STS's clock is ahead in seconds (None: not known yet), `is_stopping` whether
    the daemon was told to end. `render` makes the metrics for an `Accept` header: body and content type.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        version: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        turned: Callable[[], float],
        skew: Callable[[], float | None],
        is_stopping: Callable[[], bool],
        render: Callable[[str], tuple[bytes, str]],
    ) -> None:
        self._targets = tuple(targets)
        self._version = version
        self._clock, self._wall = clock, wall
        self._started = wall()
        self._turned, self._skew, self._is_stopping = turned, skew, is_stopping
        self._render = render
        self._ledger = Ledger()
        self._pages: Mapping[str, Callable[[Request], Answer]] = {
            "/livez": lambda _: self._livez(),
            "/readyz": lambda _: self._readyz(self._targets),
            **{f"/readyz/{target.name}": self._readiness_of(target) for target in targets},
            "/metrics": self._metrics,
            "/status": lambda _: Answer.of(200, compact(self._document())),
        }

    def publish(self, ledger: Ledger) -> None:
        """From now on speak of `ledger`."""
        self._ledger = ledger

    def handle(self, request: Request) -> Answer:
        """The answer; every one is made from memory."""
        if request.method not in ("GET", "HEAD"):
            return REFUSALS[Refusal.METHOD]
        page = self._pages.get(path(request.target))
        return page(request) if page else REFUSALS[Refusal.PATH]

    def _livez(self) -> Answer:
        silence = self._clock() - self._turned()
        if silence < STUCK:
            return Answer.of(200, compact({"status": "alive"}))
        return error(503, "Stuck", f"The refresher has not turned for {silence:.0f} seconds.")

    def _readiness_of(self, target: Target) -> Callable[[Request], Answer]:
        return lambda _: self._readyz((target,))

    def _readyz(self, targets: Sequence[Target]) -> Answer:
        if self._is_stopping():
            return error(503, "Stopping", "The sidecar was told to end; it serves on until then.")
        now = self._clock()
        lacking = [t for t in targets if not self._ledger.of(t.hop).schedule.is_alive(now)]
        if not lacking:
            return Answer.of(200, compact({"status": "ready"}))
        wrong = trouble(self._ledger, lacking[0])
        names = ", ".join(target.name for target in lacking)
        return error(503, wrong.failure.code if wrong else "NotReady", f"Cannot be served now: {names}.")

    def _metrics(self, request: Request) -> Answer:
        body, content_type = self._render(request.headers.get("accept", ""))
        return Answer.of(200, body, content_type=content_type)

    def _document(self) -> dict[str, object]:
        return {
            "version": self._version,
            "started": _iso(self._started),
            "stopping": self._is_stopping(),
            "skew_seconds": _rounded(self._skew()),
            "targets": [self._target(target) for target in self._targets],
        }

    def _target(self, target: Target) -> dict[str, object]:
        wrong = trouble(self._ledger, target)
        return {
            "name": target.name,
            **self._hop(target.hop),
            "error": self._error(wrong) if wrong else None,
            "hops": [self._hop(hop) for hop in target.hop.chain],
        }

    def _hop(self, hop: Hop) -> dict[str, object]:
        held = self._ledger.of(hop)
        expiration = held.session.credentials.expiration if held.session else None
        return {
            "role": hop.role.arn,
            "phase": held.schedule.phase(self._clock()),
            "expiration": _iso(expiration.timestamp()) if expiration else None,
            "refreshed": self._instant(held.schedule.refreshed),
            "due": self._instant(held.schedule.due),
        }

    def _error(self, wrong: Trouble) -> dict[str, object]:
        return {
            "hop": wrong.hop.position,
            "class": wrong.failure.kind,
            "code": wrong.failure.code,
            "message": wrong.failure.hint,
            "since": self._instant(wrong.since),
            "failures": wrong.failures,
        }

    def _instant(self, instant: float) -> str | None:
        """An instant of our own clock on the wall's; None for what never happened."""
        return None if instant == -inf else _iso(self._wall() + instant - self._clock())


def _iso(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
