"""The log: one subscriber of the events, one line per change of state, JSON or text.

An event becomes a line here and nowhere else. Lines hold what joins us to CloudTrail (role, session, access key id,
request id) and nothing else of the credentials. What other libraries log is let through from warnings up, with
its traceback reduced to places, since messages and values may hold what must not be written.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from sidecar import events as e
from sidecar.model import Claims
from sidecar.remedies import section

_LOGGER = "sidecar"
# What the last line before a bug ends the process has beside its sentence: the section on bugs.
_LAST = {"facts": {"logger": _LOGGER, "runbook": section(e.HandlerFailed.__name__)}}
_TOKEN = "the token: issuer {issuer}, audience {audience}, subject {subject}, until {expiration}"


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
    sys.excepthook = lambda _, error, __: ours.critical("%s", f"ended by a bug: {whereabouts(error)}", extra=_LAST)

    def observe(event: e.Event) -> None:
        facts = {"event": type(event).__name__, **e.facts(event)}
        ours.log(logging.getLevelNamesMapping()[e.level(event).upper()], "%s", _sentence(event), extra={"facts": facts})

    return observe


def _sentence(event: e.Event) -> str:
    """What everybody is told of it, and of a token its own words."""
    match event:
        case e.TokenRead() | e.HopFailed(claims=Claims(), repeated=False):
            return f"{e.sentence(event)}; {_TOKEN.format_map(e.plain(e.facts(event)))}"
        case _:
            return e.sentence(event)


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
