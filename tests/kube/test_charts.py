"""What charts render keeps its comments, its order and its own hand; what is added reads as if it had been there."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.kube.manifests import Manifest
from sidecar.kube.streams import diff
from tests.kube.charts import CHARTS, expected
from tests.kube.opinions import injected, loaded, patched

EVERY = pytest.mark.parametrize("path", CHARTS, ids=lambda path: path.stem)

# The only lines that are not as they were: what was empty, a list that grew, and maps on one line.
CHANGED = {
    "edge-router": ["          env: []"],
    "shelf-database": [
        "            annotations: {}",
        '                            value: ".svc,.cluster.local" # the cluster\'s own',
    ],
    "nightly-batch": [
        "          metadata: {labels: *labels}",
        '            - {name: report, image: "registry.example.com/batch/report:3", args: [--week, "08"]}',
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "debug", "labels": {"app": "debug"}},',
        ' "spec": {"containers": [{"name": "debug", "image": "registry.example.com/debug:1", "stdin": true}]}}',
    ],
}


@EVERY
def test_a_chart_becomes_what_is_expected(path: Path) -> None:
    assert injected(path.read_text()) == expected(path).read_text(), "python -m tests.kube.charts writes it"


@EVERY
def test_a_chart_says_what_the_operations_mean(path: Path) -> None:
    assert loaded(expected(path).read_text()) == patched(path.read_text())


@EVERY
def test_injecting_twice_is_injecting_once(path: Path) -> None:
    after = expected(path).read_text()
    assert injected(after) == after


@EVERY
def test_lines_are_added_and_only_those_that_have_to_are_changed(path: Path) -> None:
    before, after = (each.read_text().split("\n") for each in (path, expected(path)))
    gone = []
    for what, i1, i2, _, _ in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what in ("delete", "replace"):
            gone += before[i1:i2]
    assert gone == CHANGED[path.stem]


@EVERY
def test_every_comment_survives_in_its_place(path: Path) -> None:
    before, after = (comments(each.read_text()) for each in (path, expected(path)))
    assert before
    assert after == before


@EVERY
def test_the_order_of_keys_survives(path: Path) -> None:
    before, after = (
        [key for document in yaml.compose_all(each.read_text()) for key in keys(document)]
        for each in (path, expected(path))
    )
    rest = iter(after)
    assert [key for key in before if key not in rest] == []


@EVERY
def test_the_diff_has_what_was_added(path: Path) -> None:
    text = diff([Manifest(name=path.name, before=path.read_text(), after=expected(path).read_text())])
    lines = text.splitlines()
    assert lines[:2] == [f"--- {path.name}", f"+++ {path.name}"]
    assert [line[1:] for line in lines[2:] if line.startswith("-")] == CHANGED[path.stem]


def comments(text: str) -> list[str]:
    """What looks like a comment: a line from its number sign on, in order. In a literal it has to stay as well."""
    return [line[line.index("#") :] for line in text.splitlines() if line.lstrip().startswith("#") or " #" in line]


def keys(node: Any, way: str = "") -> Iterator[str]:
    """Every key, in the order of the text, with those above it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{way}/{key.value}"
            yield from keys(value, f"{way}/{key.value}")
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from keys(each, way)
