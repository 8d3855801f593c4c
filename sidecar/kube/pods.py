"""A pod as raw JSON, looked at without a model: its containers, and where they stand.

What Kubernetes would refuse to decode is refused here too, by where it stands; other fields are never looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import NoneType
from typing import Any

from sidecar.errors import ConfigError, Problem

Object = Mapping[str, Any]

# Containers of one kind in a pod, ten times what anybody has, and what is said of a pod that is none: the review of a
# pod has up to a megabyte, and what is made of it a multiple.
_MOST, _MOST_SAID = 256, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container: `pointer` is where it stands (RFC 6901), `env` its variables by name, the last of a name."""

    pointer: str
    name: str
    env: Mapping[str, Object]
    body: Object
    is_init: bool

    @property
    def is_native(self) -> bool:
        """A native sidecar."""
        return self.is_init and self.body.get("restartPolicy") == "Always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod whose fields have the types that Kubernetes gives them, as far as injection looks at them."""

    metadata: Object
    spec: Object
    init: tuple[Container, ...]
    main: tuple[Container, ...]

    @property
    def containers(self) -> tuple[Container, ...]:
        """All but ephemeral ones, in the order of their start."""
        return (*self.init, *self.main)

    @property
    def annotations(self) -> Object:
        """Of the pod itself; values are not looked at."""
        return self.metadata.get("annotations") or {}

    @property
    def labels(self) -> Object:
        """Of the pod itself; values are not looked at."""
        return self.metadata.get("labels") or {}


def read(pod: Any) -> Pod:
    """The pod in `pod`; raises ConfigError with the fields that are of another type than Kubernetes' own."""
    problems = [*islice(_problems(pod), _MOST_SAID)]
    if problems:
        raise ConfigError(problems)
    metadata, spec = pod.get("metadata") or {}, pod["spec"]
    init, main = _containers(spec, "initContainers"), _containers(spec, "containers")
    return Pod(metadata=metadata, spec=spec, init=init, main=main)


def unfit(setting: str, value: str | None, source: str, wrong: str, remedy: str) -> Problem:
    """A problem with what a pod says."""
    return Problem(setting=setting, value=value, source=source, wrong=wrong, remedy=remedy)


def _containers(spec: Object, field: str) -> tuple[Container, ...]:
    return tuple(
        Container(
            pointer=f"/spec/{field}/{at}",
            name=body["name"],
            env={each["name"]: each for each in items(body, "env")},
            body=body,
            is_init=field == "initContainers",
        )
        for at, body in enumerate(items(spec, field))
    )


def items(body: Object, field: str) -> Sequence[Any]:
    """The list of that name; empty where it is null or missing."""
    return body.get(field) or ()


# What must be an object, a list of objects, and what their names must be, by where they stand in what.
_OF_METADATA, _OF_SPEC = ("annotations", "labels"), ("nodeSelector", "os")
_OF_CONTAINER = {"env": "name", "ports": "", "volumeMounts": "mountPath"}
_LISTS = ("command", "args")
# What is null is missing.
_OBJECT, _LIST, _FLAG = (dict, NoneType), (list, NoneType), (bool, NoneType)
_FLAGS = ("hostNetwork", "shareProcessNamespace")


def _problems(pod: Any) -> Iterator[Problem]:
    if not isinstance(pod, dict):
        yield _wrong("pod", "an object")
        return
    metadata, spec = pod.get("metadata"), pod.get("spec")
    yield from _objects("metadata", metadata, _OF_METADATA)
    if not isinstance(spec, dict):
        yield _wrong("spec", "an object")
        return
    yield from _objects("spec", spec, _OF_SPEC)
    yield from (_wrong(f"spec.{name}", "true or false") for name in _FLAGS if not isinstance(spec.get(name), _FLAG))
    yield from _list("spec.volumes", spec.get("volumes"), "name")
    for field in ("initContainers", "containers"):
        if isinstance(spec.get(field), list) and len(spec[field]) > _MOST:
            yield _wrong(f"spec.{field}", f"a list of {_MOST} containers at most")
            continue
        found = [*_list(f"spec.{field}", spec.get(field), "name")]
        yield from found
        for at, body in enumerate(() if found else items(spec, field)):
            yield from _contained(f"spec.{field}[{at}]", body)
    if not items(spec, "containers"):
        yield _wrong("spec.containers", "a list with a container")


def _contained(where: str, body: Object) -> Iterator[Problem]:
    yield from (_wrong(f"{where}.{name}", "a list") for name in _LISTS if not isinstance(body.get(name), _LIST))
    for name, key in _OF_CONTAINER.items():
        if name in body:
            yield from _list(f"{where}.{name}", body[name], key)


def _objects(where: str, found: Any, fields: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(found, _OBJECT):
        yield _wrong(where, "an object")
    elif found:
        wrong = (each for each in fields if not isinstance(found.get(each), _OBJECT))
        yield from (_wrong(f"{where}.{each}", "an object") for each in wrong)


def _list(where: str, found: Any, key: str) -> Iterator[Problem]:
    """What is wrong with a list of objects, each of which has a text at `key`."""
    if not isinstance(found, _LIST):
        yield _wrong(where, "a list")
        return
    for at, each in enumerate(found or ()):
        if not isinstance(each, dict):
            yield _wrong(f"{where}[{at}]", "an object")
        elif key and not isinstance(each.get(key), str):
            yield _wrong(f"{where}[{at}].{key}", "a text")


def _wrong(where: str, what: str) -> Problem:
    return unfit(where, None, "the pod", f"it is not {what}", "Correct the manifest.")
