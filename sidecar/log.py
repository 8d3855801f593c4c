"""The log: one subscriber of the events, one line per change of state, JSON or text.

An event becomes a line here and nowhere else. Lines hold what joins us to CloudTrail (role, session, access key id,
request id) and nothing else of the credentials. What other libraries log is let through from warnings up, with
its traceback reduced to places, since messages and values may hold what must not be written.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sidecar import events as e
from sidecar.model import Claims, Failure, Hop, Phase

_LOGGER = "sidecar"
# What is said of an event, from its facts.
_SENTENCES: Mapping[type[e.Event], str] = {
    e.Started: "credential-sidecar {version} serves {targets}",
    e.Listening: "{face} on {addresses}",
    e.TokenRead: "projected token read: {subject} for {audience}, until {expiration}",
    e.TokenFailed: "projected token {path} is {reason}: {detail}",
    e.HopSucceeded: "hop {hop} assumed {arn} for {lifetime:.0f} s",
    e.HopFailed: "hop {hop} to {role} failed: {code}: {hint}; next attempt in {retry_in:.0f} s",
    e.PhaseChanged: "{target} is {after} with {remaining:.0f} s left",
    e.Skewed: "STS's clock is {seconds:+.0f} s ahead of the node's",
    e.RefreshAsked: "refresh asked for",
    e.StateRestored: "restored {hops} of {written} sessions from before the restart",
    e.StateIgnored: "state in {path} is not used: {reason}",
    e.HandlerFailed: "the {face} failed: {error} at {where}",
    e.Stopping: "stopping; serving on for {drain:g} s",
}
# The levels that are not `info`. That a target is due and refreshed in time is its ordinary life.
_LEVELS: Mapping[type[e.Event], int] = {
    e.TokenFailed: logging.WARNING,
    e.HopFailed: logging.WARNING,
    e.PhaseChanged: logging.DEBUG,
    e.StateIgnored: logging.WARNING,
    e.HandlerFailed: logging.ERROR,
}
_SKEWS = {
    "": (logging.INFO, ", which is in order again"),
    "warning": (logging.WARNING, ": mend the node's time synchronisation"),
    "cause": (logging.ERROR, ": signatures fail at 300 s, and SDKs misjudge expirations; mend the node's time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is written of one event."""

    level: int
    message: str
    facts: Mapping[str, object]


def subscriber(level: str, form: str | None) -> e.Observe:
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

    def observe(event: e.Event) -> None:
        line = describe(event)
        if ours.isEnabledFor(line.level):
            ours.log(line.level, "%s", line.message, extra={"facts": line.facts})

    return observe


def describe(event: e.Event) -> Line:
    """The line for `event`."""
    facts = {name: value for name, value in _facts(event) if value is not None}
    said = {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    message = _SENTENCES[type(event)].format_map({"remaining": 0.0, **said})
    level, more = _LEVELS.get(type(event), logging.INFO), ""
    match event:
        case e.Skewed(severity=severity):
            level, more = _SKEWS[severity]
        case e.PhaseChanged(after=Phase.EXPIRED):
            level = logging.ERROR
        case e.PhaseChanged(before=Phase.EMPTY | Phase.EXPIRED):
            level = logging.INFO
        case e.HopFailed(repeated=True):
            level = logging.DEBUG
        case e.HopFailed(claims=Claims()):
            more = "; the token: issuer {issuer}, audience {audience}, subject {subject}".format_map(said)
        case e.RefreshAsked(granted=False):
            more = " again within ten seconds: not granted"
        case e.Started(warnings=warnings):
            more = "".join(f"; {warning}" for warning in warnings)
        case _:
            pass
    return Line(level=level, message=message + more, facts={"event": type(event).__name__, **facts})


def _facts(event: e.Event | e.Attempt) -> Iterator[tuple[str, object]]:
    """The event's fields, with a hop as its position and role, and a failure as what people look for."""
    for field in fields(event):
        match getattr(event, field.name):
            case e.Attempt() as attempt:
                yield from _facts(attempt)
            case Hop() as hop:
                yield from (("hop", hop.position), ("role", hop.role.arn))
            case Failure(kind=kind, code=code, hint=hint):
                yield from (("kind", kind), ("code", code), ("hint", hint))
            case Claims() as said:
                yield from (("issuer", said.issuer), ("audience", said.audience), ("subject", said.subject))
                yield "expiration", datetime.fromtimestamp(said.expiration, UTC).isoformat()
            case float(number):
                yield field.name, round(number, 3)
            case value:
                yield field.name, value


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
