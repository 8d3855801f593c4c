"""The log: one subscriber of the events, one line per change of state, JSON or text.

An event becomes a line here and nowhere else. Lines hold what joins us to CloudTrail (role, session, access key id,
request id) and nothing else of the credentials. What other libraries log is let through from warnings up, with
its traceback reduced to places, since messages and values may hold what must not be written.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sidecar.events import (
    Event,
    HandlerFailed,
    HopFailed,
    HopSucceeded,
    Listening,
    Observe,
    PhaseChanged,
    RefreshAsked,
    Skewed,
    Started,
    StateIgnored,
    StateRestored,
    Stopping,
    TokenFailed,
    TokenRead,
)
from sidecar.model import Hop, Phase

LEVELS = ("debug", "info", "warning", "error")
_LOGGER = "sidecar"
# The levels of a target's moves between phases. That it is due and refreshed in time is its ordinary life.
_MOVES = {
    (Phase.EMPTY, Phase.FRESH): logging.INFO,
    (Phase.EXPIRED, Phase.FRESH): logging.INFO,
    (Phase.STALE, Phase.EXPIRED): logging.ERROR,
    (Phase.FRESH, Phase.EXPIRED): logging.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is written of one event."""

    level: int
    message: str
    facts: Mapping[str, object]


def subscriber(level: str, form: str | None) -> Observe:
    """Sets up the process's log on standard error and answers the observer that writes events to it.

    `form` is `json` or `text`; None: text where a person is looking.
    """
    handler = logging.StreamHandler(sys.stderr)
    is_text = sys.stderr.isatty() if form is None else form == "text"
    handler.setFormatter(_Text() if is_text else _Json())
    root, ours = logging.getLogger(), logging.getLogger(_LOGGER)
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # botocore's debug lines hold whole requests: never below this
    ours.setLevel(level.upper())

    def observe(event: Event) -> None:
        line = describe(event)
        if ours.isEnabledFor(line.level):
            facts = {"event": type(event).__name__, **line.facts}
            ours.log(line.level, "%s", line.message, extra={"facts": facts})

    return observe


def describe(event: Event) -> Line:
    """The line for `event`."""
    match event:
        case HopSucceeded() | HopFailed():
            return _of_hop(event)
        case TokenRead() | TokenFailed():
            return _of_token(event)
        case PhaseChanged(target=target, before=before, after=after, remaining=remaining):
            left = "" if remaining is None else f" with {remaining:.0f} s left"
            facts = {"target": target, "phase": after, "before": before}
            level = _MOVES.get((before, after), logging.DEBUG)
            return Line(level=level, message=f"{target} is {after}{left}", facts=facts)
        case Skewed():
            return _of_skew(event)
        case StateRestored() | StateIgnored():
            return _of_state(event)
        case HandlerFailed(face=face, error=error, where=where):
            message = f"a request to the {face} listener failed: {error} at {where}"
            return Line(level=logging.ERROR, message=message, facts={"face": face})
        case _:
            return _of_life(event)


def _of_life(event: Started | Listening | RefreshAsked | Stopping) -> Line:
    match event:
        case Started(version=version, targets=targets, warnings=warnings):
            message = "; ".join((f"credential-sidecar {version} serves {', '.join(targets)}", *warnings))
            return Line(level=logging.INFO, message=message, facts={"version": version, "targets": targets})
        case Listening(face=face, addresses=addresses):
            message = f"{face} on {', '.join(addresses)}"
            return Line(level=logging.INFO, message=message, facts={"face": face, "addresses": addresses})
        case RefreshAsked(granted=granted):
            message = "refresh asked for" if granted else "refresh asked for again within ten seconds: not granted"
            return Line(level=logging.INFO, message=message, facts={"granted": granted})
        case Stopping(drain=drain):
            message = f"stopping; serving on for {drain:g} s" if drain else "stopping"
            return Line(level=logging.INFO, message=message, facts={"drain": drain})


def _of_hop(event: HopSucceeded | HopFailed) -> Line:
    facts: dict[str, object] = {**_hop_facts(event.hop), "targets": event.targets, "region": event.region}
    facts |= {"seconds": round(event.seconds, 3), "request_id": event.request_id}
    place = f"hop {event.hop.position}"
    if isinstance(event, HopSucceeded):
        facts |= {"arn": event.arn, "access_key_id": event.access_key_id, "expiration": event.expiration}
        facts |= {"packed_policy_percent": event.packed}
        message = f"{place} assumed {event.arn} for {event.lifetime:.0f} s"
        return Line(level=logging.INFO, message=message, facts=_known(facts))
    facts |= {"code": event.failure.code, "kind": event.failure.kind, "failures": event.failures}
    facts |= {"retry_in": round(event.retry_in, 1), "claims": event.claims}
    claims = f" ({event.claims})" if event.claims else ""
    message = f"{place} to {event.hop.role} failed: {event.failure.code}: {event.failure.hint}{claims}"
    level = logging.DEBUG if event.repeated else logging.WARNING
    return Line(level=level, message=f"{message}; next attempt in {event.retry_in:.0f} s", facts=_known(facts))


def _of_token(event: TokenRead | TokenFailed) -> Line:
    if isinstance(event, TokenFailed):
        message = f"projected token {event.path} is {event.reason}: {event.detail}"
        return Line(level=logging.WARNING, message=message, facts={"path": event.path, "reason": event.reason})
    verb = "rotated" if event.rotated else "read"
    until = datetime.fromtimestamp(event.expiration, UTC).isoformat()
    message = f"projected token {verb}: {event.subject} for {', '.join(event.audience)}, until {until}"
    facts = {"path": event.path, "issuer": event.issuer, "subject": event.subject, "audience": event.audience}
    return Line(level=logging.INFO, message=message, facts={**facts, "expiration": until})


def _of_skew(event: Skewed) -> Line:
    facts = {"skew_seconds": round(event.seconds, 1)}
    if not event.severity:
        return Line(level=logging.INFO, message="the node's clock agrees with STS again", facts=facts)
    side = "behind" if event.seconds > 0 else "ahead of"
    message = f"the node's clock is {abs(event.seconds):.0f} s {side} STS's: mend the node's time synchronisation"
    if event.severity == "cause":
        message += "; signatures fail at 300 s, and SDKs misjudge expirations"
    return Line(level=logging.ERROR if event.severity == "cause" else logging.WARNING, message=message, facts=facts)


def _of_state(event: StateRestored | StateIgnored) -> Line:
    if isinstance(event, StateRestored):
        message = f"restored {event.hops} of {event.written} sessions from before the restart"
        return Line(level=logging.INFO, message=message, facts={"hops": event.hops, "written": event.written})
    message = f"state in {event.path} is not used: {event.reason}"
    return Line(level=logging.WARNING, message=message, facts={"path": event.path})


def _hop_facts(hop: Hop) -> dict[str, object]:
    return {"hop": hop.position, "role": hop.role.arn}


def _known(facts: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in facts.items() if value is not None}


class _Json(logging.Formatter):
    """One JSON object per line: time (UTC), level, message, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {"logger": record.name})
        head = {"time": _time(record), "level": record.levelname.lower(), "message": _message(record)}
        return json.dumps({**head, **facts})


class _Text(logging.Formatter):
    """For people at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)[11:19]} {record.levelname:<7} {_message(record)}"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord) -> str:
    if record.name == _LOGGER:
        return record.getMessage()
    # Somebody else's message: its form is code, its arguments are values that may be secrets.
    places = f": {whereabouts(record.exc_info[1])}" if record.exc_info and record.exc_info[1] else ""
    # asyncio puts the repr of what failed below the first line.
    return f"{record.name}: {str(record.msg).partition(chr(10))[0]}{places}"


def whereabouts(error: BaseException) -> str:
    """The type of `error` and the places it came through, without its message and without a value."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
