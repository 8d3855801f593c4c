"""Writes docs/events.md and docs/events.schema.json from the events' classes: every one, its words and its facts.

What stands here are the meanings of the facts' names, which are the same wherever a fact occurs, unless it is said for
one event by `Event.fact`. An event, a fact or a type without an entry ends the writing.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sidecar import events
from sidecar.events import Attempt, Event
from sidecar.kube import certificates, reviews, webhook
from sidecar.model import Claims, Failure, Hop

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "events.md"
SCHEMA: Final = ROOT / "docs" / "events.schema.json"


def _is_event_of(each: object, module: types.ModuleType) -> bool:
    return (
        isinstance(each, type) and issubclass(each, Event) and each.__module__ == module.__name__ and each is not Event
    )


# By who tells them, in the order of their modules.
PARTS: Final[Mapping[str, tuple[type[Event], ...]]] = {
    part: tuple(each for module in modules for each in vars(module).values() if _is_event_of(each, module))
    for part, modules in {"The daemon": (events,), "The webhook": (webhook, reviews, certificates)}.items()
}
EVENTS: Final = tuple(each for part in PARTS.values() for each in part)
# Where what happened decides on the level: every level, and when.
LEVELS: Final[Mapping[type[Event], Mapping[str, str]]] = {
    events.Started: {"info": "", "warning": "where something about the configuration is odd"},
    events.HopFailed: {"warning": "", "debug": "for the same failure again"},
    events.PhaseChanged: {"info": "", "debug": "between fresh and stale", "error": "to expired"},
    events.Skewed: {"info": "when they agree again", "warning": "from 60 s", "error": "from 240 s"},
}
MEANINGS: Final = {
    "access_key_id": "joins the session to CloudTrail; the one part of the credentials that is no secret",
    "addresses": "where: address and port",
    "alert": "what the client says of it",
    "after": "the phase that it is in now",
    "arn": "the assumed role and the role session name, as STS says them",
    "audience": "of the token",
    "before": "the phase that it was in",
    "code": "AWS's error code, or ours where STS did not answer: docs/troubleshooting.md has them all",
    "detail": "what was seen, in our words",
    "doubt": "what is not known, and why",
    "drain": "for how many seconds",
    "error": "the type of the exception; never its message",
    "expiration": "when it ends",
    "face": "what listens: `credentials`, `imds` or `status`",
    "folder": "where the certificate and its key are",
    "failures": "in a row, this one included",
    "granted": "not, if somebody asked a moment ago",
    "hint": "where to look, in our words",
    "hop": "its position in the chain: 1 spends the token",
    "hops": "how many sessions live on",
    "image": "the sidecar's, as pods are given it",
    "issuer": "of the token",
    "kind": "the class of the failure, which sets the pace of the retries",
    "lifetime": "seconds that the session has left",
    "name": "of the pod, or how it begins",
    "names": "the host names that it is for",
    "namespace": "of the pod",
    "packed": "percent of the space for session policy and tags that is used, where STS says it",
    "path": "of the file or directory",
    "reason": "why, in a word or a few",
    "region": "whose STS was asked; absent where no call was spent",
    "remaining": "seconds of life that the served session has left",
    "repeated": "whether it failed in the same way before",
    "request_id": "AWS's, where there was an answer: CloudTrail has AWS's own message under it",
    "retry_in": "seconds until the next attempt",
    "role": "the ARN of the hop's role",
    "rotated": "whether it replaced another",
    "runbook": "where to read more on it: a page of the repository and its section",
    "seconds": "how long the call took",
    "serial": "of the certificate, in hexadecimal digits",
    "severity": "the level that it is told at",
    "subject": "of the token",
    "target": "the name of the target",
    "targets": "the names of the targets it was done for",
    "version": "of the sidecar",
    "warnings": "what is odd about the configuration, a sentence each",
    "where": "the places in the code, innermost first",
    "written": "how many sessions had been kept",
    "HandlerFailed.face": "what failed: a listener, or the event loop",
    "Skewed.seconds": "how far STS's clock is ahead of the node's; below zero: behind",
    "Started.targets": "the names of the targets that are served, the first is the default one",
}
_FORMATS: Final = {"expiration": {"format": "date-time"}}
_PRIMITIVES: Final[Mapping[Any, Mapping[str, Any]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    tuple[str, ...]: {"type": "array", "items": {"type": "string"}},
}
# What people call JSON's types.
_TYPES: Final = {
    "array": "strings",
    "boolean": "true or false",
    "integer": "integer",
    "number": "number",
    "string": "string",
}
# A hop and claims, as facts.
_PARTS: Final[Mapping[Any, Mapping[str, Any]]] = {
    Hop: {"hop": int, "role": str},
    Claims: {"issuer": str, "audience": tuple[str, ...], "subject": str, "expiration": str},
}
_HEAD = """\
# Events

Written by `make docs` from the code; a test compares the two. Every line of the log is one event and one JSON object
(`SIDECAR_LOG_FORMAT=json`, the default where no person is looking); its JSON Schema (2020-12) is
[events.schema.json](events.schema.json). Names of events and of their facts are stable: one that changes is a line in
the changelog. There may be more of them in a later version, so let a reader pass over what it does not know.

Every line has `time` (RFC 3339, UTC), `level` and `message`, a sentence for people that may be worded better at any
time. Then `event`, and the facts of that event as below; a fact that is not known is absent. A line of another library,
and the last line before a bug ends the process, has `logger` instead. No fact can hold a secret.

What tells of something wrong has `runbook`, the section of [the runbook](runbook.md) to read; so has that last line.

`/status` and the [status page](status-page.md) tell the latest fifty, without those at level `debug`, by instant,
level, name and sentence, and without what is for the log alone: {discreet}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact of an event as the log has it."""

    name: str
    schema: Mapping[str, Any]
    is_certain: bool
    meaning: str


def facts(event: type[Event]) -> tuple[Fact, ...]:
    """The facts of an event, in the order of a line."""
    return (*_facts(event, event.__name__, is_certain=True), *_runbook(event))


def _runbook(event: type[Event]) -> Iterator[Fact]:
    """The link to the runbook, of an event that has one, or sometimes has."""
    own = vars(event).get("runbook")
    if own is None and event.level == "info":
        return
    _, is_optional = _bare(typing.get_type_hints(own.fget)["return"]) if own else (str, False)
    yield Fact(name="runbook", schema=_schema_of(str), is_certain=not is_optional, meaning=MEANINGS["runbook"])


def _facts(part: type, event: str, *, is_certain: bool) -> Iterator[Fact]:
    hints = typing.get_type_hints(part)
    for field in fields(part):
        hint, is_optional = _bare(hints[field.name])
        if hint in (Attempt, Failure):
            yield from _facts(hint, event, is_certain=is_certain)
            continue
        for name, kind in _PARTS.get(hint, {field.name: hint}).items():
            meaning = MEANINGS.get(f"{event}.{name}", MEANINGS[name])
            schema = {**_schema_of(kind), **_FORMATS.get(name, {})}
            yield Fact(name=name, schema=schema, is_certain=is_certain and not is_optional, meaning=meaning)


def _bare(hint: Any) -> tuple[Any, bool]:
    """A type without `| None`, and whether it had one."""
    if not isinstance(hint, types.UnionType):
        return hint, False
    (kind,) = (each for each in typing.get_args(hint) if each is not type(None))
    return kind, True


def _schema_of(kind: Any) -> Mapping[str, Any]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [each.value for each in kind]}
    return _PRIMITIVES[kind]


def levels(event: type[Event]) -> Mapping[str, str]:
    """The levels at which an event is told, and when at each."""
    return LEVELS.get(event, {event.level: ""})


def page() -> str:
    """docs/events.md."""
    discreet = ", ".join(f"`{name}`" for name in sorted(events.DISCREET))
    return "\n".join((_HEAD.format(discreet=discreet), *(_part(*part) for part in PARTS.items())))


def _part(name: str, told: tuple[type[Event], ...]) -> str:
    rows = (f"| [`{each.__name__}`](#{each.__name__.lower()}) | {_level(each)} | {_when(each)[0]} |" for each in told)
    table = ("| event | level | when |", "| --- | --- | --- |", *rows)
    return "\n".join((f"## {name}\n", *table, "", *map(_section, told)))


def _level(event: type[Event]) -> str:
    return "; ".join(f"`{level}` {when}".strip() for level, when in levels(event).items())


def _when(event: type[Event]) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (inspect.getdoc(event) or "").split("\n\n")]


def _section(event: type[Event]) -> str:
    rows = (
        f"| `{each.name}` | {_type(each.schema)}{'' if each.is_certain else ', or absent'} | {each.meaning} |"
        for each in facts(event)
    )
    table = ("| fact | type | meaning |", "| --- | --- | --- |", *rows)
    said = (
        f"### {event.__name__}",
        *_when(event),
        f"Level: {_level(event)}. Sentence: `{event.says}`",
        "\n".join(table),
    )
    return "\n\n".join(said) + "\n"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    return "instant" if "format" in schema else _TYPES[schema["type"]]


def schema() -> str:
    """docs/events.schema.json."""
    names = [event.__name__ for event in EVENTS]
    definitions = {event.__name__: _definition(event) for event in EVENTS}
    runbook = {**_schema_of(str), "description": MEANINGS["runbook"]}
    other = {"properties": {"logger": _schema_of(str), "runbook": runbook}, "required": ["logger"]}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of the log",
        "type": "object",
        "properties": {
            "time": {"type": "string", "format": "date-time"},
            "level": {"enum": ["debug", "info", "warning", "error", "critical"]},
            "message": {"type": "string"},
        },
        "required": ["time", "level", "message"],
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in (*names, "OtherLibrary")],
        "unevaluatedProperties": False,
        "$defs": {**definitions, "OtherLibrary": other},
    }
    return json.dumps(document, indent=2) + "\n"


def _definition(event: type[Event]) -> Mapping[str, Any]:
    said = {each.name: {**each.schema, "description": each.meaning} for each in facts(event)}
    required = [each.name for each in facts(event) if each.is_certain]
    told = {"event": {"const": event.__name__}, "level": {"enum": [*levels(event)]}}
    return {"description": _when(event)[0], "properties": {**told, **said}, "required": ["event", *required]}


if __name__ == "__main__":
    PAGE.write_text(page())
    SCHEMA.write_text(schema())
