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
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from sidecar import events as e
from sidecar.model import Claims, Failure, Hop, Phase

_LOGGER = "sidecar"


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
    # A bug that ends the process: Python's own report would quote the error's message.
    sys.excepthook = lambda _, error, __: ours.critical("%s", f"ended by a bug: {whereabouts(error)}")

    def observe(event: e.Event) -> None:
        facts = {name: value for name, value in _facts(event) if value is not None}
        number = logging.getLevelNamesMapping()[_level(event).upper()]
        ours.log(number, "%s", _sentence(event, facts), extra={"facts": {"event": type(event).__name__, **facts}})

    return observe


def _level(event: e.Event) -> str:
    match event:
        case e.Skewed(severity=severity):
            return severity
        case e.PhaseChanged(after=Phase.EXPIRED):
            return "error"
        case e.Started(warnings=[_, *_]):
            return "warning"
        case e.PhaseChanged(before=Phase.FRESH | Phase.STALE) | e.HopFailed(repeated=True):
            return "debug"
        case _:
            return event.level


def _sentence(event: e.Event, facts: Mapping[str, object]) -> str:
    said = {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    sentence = event.says.format_map(said)
    match event:
        case e.Skewed(severity="warning" | "error"):
            return f"{sentence}: signatures fail at 300 s, and SDKs misjudge expirations; mend the node's time"
        case e.HopFailed(claims=Claims(), repeated=False):
            token = "the token: issuer {issuer}, audience {audience}, subject {subject}".format_map(said)
            return f"{sentence}; {token}"
        case e.Started(warnings=warnings):
            return "; ".join((sentence, *warnings))
        case _:
            return sentence


def _facts(event: Any) -> Iterator[tuple[str, object]]:
    """The event's fields, with a hop as its position and role, and a failure as what people look for."""
    for field in fields(event):
        match getattr(event, field.name):
            case e.Attempt() | Failure() as part:
                yield from _facts(part)
            case Hop() as hop:
                yield from (("hop", hop.position), ("role", hop.role.arn))
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
