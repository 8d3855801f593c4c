"""What an injection may touch, as complaints about one that touches more. Knows nothing of how it is made."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.kube.injection import Injection
from tests.kube.pods import patched

Object = dict[str, Any]

OURS: Final = "credential-sidecar"
SKIP: Final = "eks.amazonaws.com/skip-containers"
_KINDS: Final = ("initContainers", "containers")
_PROXY: Final = {"NO_PROXY", "no_proxy"}
_VARIABLES: Final = _PROXY | {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
}
_VOLUME: Final = re.compile("credential-sidecar-(projected-token|profiles|authorization(-[a-z0-9-]+)?|state)")
_MOUNTED: Final = re.compile("credential-sidecar-authorization(-[a-z0-9-]+)?")
# An operation, its path, and where it is from: no list is replaced, and nothing is removed.
_OPERATIONS: Final = [
    re.compile(pattern)
    for pattern in (
        "add /metadata/annotations",  # where there are none
        "(add|replace) /metadata/annotations/eks.amazonaws.com~1skip-containers",
        r"add /spec/initContainers(/\d+)?",
        r"move /spec/initContainers/\d+ /spec/initContainers/\d+",
        "add /spec/volumes(/-)?",
        r"add /spec/(initContainers|containers)/\d+/(env|volumeMounts)(/-)?",
        r"(add|replace) /spec/(initContainers|containers)/\d+/env/\d+/value",  # NO_PROXY alone: see below
    )
]


def trespasses(before: Object, after: Object) -> Iterator[str]:
    """What was changed, removed or moved that is not ours."""
    was, now = copy.deepcopy(before), copy.deepcopy(after)
    for found in (was, now):
        found.setdefault("metadata", {})
    yield from _annotated(was["metadata"], now["metadata"])
    if OURS in _names(was):
        yield from _grown(_ours(was), _ours(now))
    for kind in _KINDS:
        yield from _kept(_others(was["spec"], kind), _others(now["spec"], kind))
    yield from _extended(was["spec"], now["spec"], "volumes", lambda volume: _is_named(volume, _VOLUME))
    for found in (was, now):
        for kind in _KINDS:
            found["spec"][kind] = _others(found["spec"], kind)
    if _text(was) != _text(now):
        yield f"something else was {_text(was)} and is {_text(now)}"


def excesses(before: Object, operations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The operations that touch what is not ours, a whole list or value that is there, or nothing."""
    document = copy.deepcopy(before)
    for operation in operations:
        said = " ".join(operation[key] for key in ("op", "from", "path") if key in operation)
        if not any(pattern.fullmatch(said) for pattern in _OPERATIONS):
            yield said
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")][1:]
        place: Any = document
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        # To add at a name that is there is to replace; of a value that is no more than that.
        if operation["op"] == "add" and isinstance(place, dict) and place.get(last) and last != "value":
            yield f"{said}: it is there"
        if last == "value" and place["name"] not in _PROXY:
            yield f"{said}: a value of {place['name']}"
        if (
            operation["op"] == "move"
            and document["spec"]["initContainers"][int(operation["from"][21:])]["name"] != OURS
        ):
            yield f"{said}: not ours"
        after = _applied(document, operation)
        if _text(after) == _text(document):
            yield f"{said}: it does nothing"
        document = after


def _kept(was: list[Object], now: list[Object]) -> Iterator[str]:
    """What became of containers that are not the sidecar, otherwise than asking it."""
    if [each["name"] for each in was] != [each["name"] for each in now]:
        yield f"containers were {was}"
        return
    for old, new in zip(was, now, strict=True):
        yield from _extended(old, new, "env", _is_ours)
        yield from _extended(old, new, "volumeMounts", lambda mount: _is_named(mount, _MOUNTED))


def _applied(document: Object, operation: Mapping[str, Any]) -> Object:
    found: Object = patched(document, Injection(operations=(operation,)))
    return found


def _grown(was: Object, now: Object) -> Iterator[str]:
    """What became of a sidecar that was there, otherwise than being given what it lacked."""
    yield from _extended(was, now, "env", lambda variable: set(variable) == {"name", "value"})
    yield from _extended(was, now, "volumeMounts", lambda mount: _is_named(mount, _VOLUME))
    if _text(was) != _text(now):
        yield "the sidecar that was there is another"


def _annotated(was: Object, now: Object) -> Iterator[str]:
    before, after = dict(was.pop("annotations", None) or {}), dict(now.pop("annotations", None) or {})
    old, new = before.pop(SKIP, ""), after.pop(SKIP, "")
    if _text(before) != _text(after):
        yield f"annotations were {before} and are {after}"
    if old and new != old and not new.startswith(f"{old},"):
        yield f"{SKIP} was {old!r} and is {new!r}"
    names = new.split(",")
    if len(set(names)) != len(names) and old != new:
        yield f"{SKIP} is {new!r}"


def _extended(old: Object, new: Object, key: str, is_ours: Any) -> Iterator[str]:
    """Takes the list out of both, and says what became of it otherwise than being added to."""
    was, now = old.pop(key, None) or [], new.pop(key, None) or []
    for then, here in zip(was, now, strict=False):
        if _text(then) != _text(here) and not _is_spared(then, here):
            yield f"{key}: {then} became {here}"
    if len(now) < len(was):
        yield f"{key}: something is gone"
    if not all(is_ours(each) for each in now[len(was) :]):
        yield f"{key}: {now[len(was) :]} is not ours"
    names = [each["name"] for each in now[len(was) :] if key != "volumeMounts"]
    if {*names} & {each["name"] for each in was if key != "volumeMounts"} or len(set(names)) != len(names):
        yield f"{key}: something is there twice"


def _is_spared(then: Object, here: Object) -> bool:
    """Whether it is a list of hosts without a proxy that has loopback now, and else what it had."""
    old, new = then.get("value") or "", here.get("value", "")
    wanted = f"{old},127.0.0.1" if old else "127.0.0.1,localhost"
    return then["name"] in _PROXY and new == wanted and {**then, "value": new} == here


def _is_ours(variable: Object) -> bool:
    return set(variable) == {"name", "value"} and variable["name"] in _VARIABLES


def _is_named(found: Object, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(found["name"]) is not None


def _others(spec: Object, kind: str) -> list[Object]:
    return [each for each in spec.get(kind) or () if each["name"] != OURS]


def _names(pod: Object) -> list[str]:
    return [each["name"] for each in pod["spec"].get("initContainers") or ()]


def _ours(pod: Object) -> Object:
    return next(dict(each) for each in pod["spec"]["initContainers"] if each["name"] == OURS)


def _text(found: Any) -> str:
    """Where 1, 1.0 and true are three things."""
    return json.dumps(found, sort_keys=True)
