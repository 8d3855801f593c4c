"""RFC 6902 on data, as far as injection uses it: add, replace and move, in place."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def apply(operations: Iterable[Mapping[str, Any]], document: Any) -> None:
    """Does `operations` to `document`, in order; what they add is copied, so that it is nobody else's."""
    for each in operations:
        *way, last = _tokens(each["path"])
        if each["op"] == "move":
            *source, taken = _tokens(each["from"])
            value = _at(document, source).pop(_key(_at(document, source), taken))
        else:
            value = _copy(each["value"])
        parent = _at(document, way)
        if isinstance(parent, list) and each["op"] != "replace":
            parent.insert(len(parent) if last == "-" else int(last), value)
        else:
            parent[_key(parent, last)] = value


def _tokens(pointer: str) -> Sequence[str]:
    """RFC 6901; the whole document is never what an operation is about."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _at(document: Any, way: Iterable[str]) -> Any:
    for token in way:
        document = document[_key(document, token)]
    return document


def _key(parent: Any, token: str) -> Any:
    return int(token) if isinstance(parent, list) else token


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [*map(_copy, value)] if isinstance(value, list | tuple) else value
