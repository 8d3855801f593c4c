"""RFC 6902 as far as it is used, beside another's reading of it."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest

from sidecar.kube.patches import apply

DOCUMENT = {"a/b": {"c~d": [1, {"e": 2}, 3]}, "~1": {"": [[]]}, "n": None}


def done(operations: list[dict[str, Any]], document: Any) -> Any:
    copied = copy.deepcopy(document)
    apply(operations, copied)
    return copied


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/new", "value": {"x": [1]}},
        {"op": "add", "path": "/n", "value": []},
        {"op": "add", "path": "/a~1b/c~0d/0", "value": 0},
        {"op": "add", "path": "/a~1b/c~0d/3", "value": 4},
        {"op": "add", "path": "/a~1b/c~0d/-", "value": 4},
        {"op": "add", "path": "/a~1b/c~0d/1/f", "value": None},
        {"op": "add", "path": "/~01//0/-", "value": 1},
        {"op": "replace", "path": "/a~1b/c~0d/1", "value": 4},
        {"op": "replace", "path": "/a~1b", "value": 4},
        {"op": "move", "from": "/a~1b/c~0d/2", "path": "/a~1b/c~0d/0"},
        {"op": "move", "from": "/a~1b/c~0d/0", "path": "/a~1b/c~0d/2"},
        {"op": "move", "from": "/a~1b", "path": "/n"},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path'].replace('/', ':')}",
)
def test_an_operation_does_what_jsonpatch_does(operation: dict[str, Any]) -> None:
    assert done([operation], DOCUMENT) == jsonpatch.apply_patch(DOCUMENT, [operation])


def test_what_is_added_is_nobody_elses() -> None:
    value: dict[str, Any] = {"x": [{}]}
    adds = [{"op": "add", "path": f"/{name}", "value": value} for name in "ab"]
    document = done([*adds, {"op": "add", "path": "/a/x/0/y", "value": 1}], {})
    assert document == {"a": {"x": [{"y": 1}]}, "b": {"x": [{}]}}
    assert value == {"x": [{}]}
