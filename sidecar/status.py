"""The status listener: three probes with three questions, the metrics, and what is held. Never a secret.

- `/livez`: would a restart help? Whether the loop turns, and nothing about STS: a restart in an outage loses sessions.
- `/readyz`, `/readyz/{target}`: can every target, or this one, be served now?
- `/status`: target, role, phase, instants, error code, our words and the latest events. Not what AWS wrote, and no
  external id, policy, tag, claim or access key id. `/` is the same as a page for people.

The Host header is not looked at, since kubelet probes the pod's own address; what is here is no secret.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sidecar.contract import Answer, Refusal, Request, compact, error, path
from sidecar.formats import utc_of
from sidecar.ledger import Picture, Trouble, trouble
from sidecar.model import Hop, Target
from sidecar.page import Page
from sidecar.remedies import page

# The loop turns every two seconds, and at most a few calls of five seconds keep it busy: beyond this it hangs.
STUCK = 60.0
# The metrics for an `Accept` header: body and content type.
Render = Callable[[str], tuple[bytes, str]]
# The latest events, the last one first.
Told = Callable[[], Sequence[Mapping[str, str]]]
_STYLE, _SCRIPT = (Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js"))


class Status:
    """Answers on the state of `targets`; `look` and `told` are called for each answer, `render` for the metrics."""

    def __init__(
        self, targets: Sequence[Target], version: str, look: Callable[[], Picture], render: Render, told: Told
    ) -> None:
        self._targets, self._look, self._render, self._told = tuple(targets), look, render, told
        self._page = Page(_STYLE, _SCRIPT)
        self._ready = {"/readyz": self._targets, **{f"/readyz/{target.name}": (target,) for target in targets}}
        self._constant = {"version": version, "started": _iso(look().wall)}

    def handle(self, request: Request) -> Answer:
        """The answer; every one is made from memory."""
        if request.method not in ("GET", "HEAD"):
            return Refusal.METHOD.answer
        match path(request.target):
            case "/livez":
                return _livez(self._look())
            case where if where in self._ready:
                return _readyz(self._look(), self._ready[where])
            case "/metrics":
                body, content_type = self._render(request.headers.get("accept", ""))
                return Answer.of(200, body, content_type=content_type)
            case "/status":
                return Answer.of(200, compact(self._document(self._look())))
            case "":
                return self._drawn(self._look())
            case _:
                return Refusal.PATH.answer

    def _document(self, seen: Picture) -> dict[str, object]:
        skew = None if seen.skew is None else round(seen.skew, 3)
        targets = [_target(seen, target) for target in self._targets]
        now = {"stopping": seen.is_stopping, "skew_seconds": skew, "targets": targets, "events": self._told()}
        return {**self._constant, **now}

    def _drawn(self, seen: Picture) -> Answer:
        html = self._page.draw(self._document(seen), seen.wall)
        return Answer.of(200, html.encode(), self._page.fields, content_type="text/html; charset=utf-8")


def _livez(seen: Picture) -> Answer:
    silence = seen.now - seen.turned
    if silence < STUCK:
        return Answer.of(200, compact({"status": "alive"}))
    return error(503, "Stuck", f"The refresher has not turned for {silence:.0f} seconds.")


def _readyz(seen: Picture, targets: Sequence[Target]) -> Answer:
    if seen.is_stopping:
        return error(503, "Stopping", "The sidecar was told to end; it serves on until then.")
    lacking = [target for target in targets if not seen.ledger.of(target.hop).schedule.is_alive(seen.now)]
    if not lacking:
        return Answer.of(200, compact({"status": "ready"}))
    wrong = trouble(seen.ledger, lacking[0])
    names = ", ".join(target.name for target in lacking)
    return error(503, wrong.failure.code if wrong else "NotReady", f"Cannot be served now: {names}.")


def _target(seen: Picture, target: Target) -> dict[str, object]:
    wrong, hops = trouble(seen.ledger, target), [_hop(seen, hop) for hop in target.hop.chain]
    return {"name": target.name, **hops[-1], "error": wrong and _error(seen, wrong), "hops": hops}


def _error(seen: Picture, wrong: Trouble) -> dict[str, object]:
    failure = {"class": wrong.failure.kind, "code": wrong.failure.code, "message": wrong.failure.hint}
    runbook, since = page(wrong.failure.code, wrong.hop.position), _iso(seen.unix(wrong.since))
    return {"hop": wrong.hop.position, **failure, "runbook": runbook, "since": since, "failures": wrong.failures}


def _hop(seen: Picture, hop: Hop) -> dict[str, object]:
    session, schedule = seen.ledger.of(hop).session, seen.ledger.of(hop).schedule
    expiration = _iso(session.credentials.expiration.timestamp() if session else None)
    refreshed, due = _iso(seen.unix(schedule.refreshed)), _iso(seen.unix(schedule.due))
    told = {"role": hop.role.arn, "phase": schedule.phase(seen.now)}
    return {**told, "expiration": expiration, "refreshed": refreshed, "due": due}


def _iso(unix: float | None) -> str | None:
    return None if unix is None else utc_of(unix)
