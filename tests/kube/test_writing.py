"""What is written is read as what was meant, by PyYAML and by our own reader, in blocks, in braces and in quotes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.kube.documents import plain, read
from sidecar.kube.writing import Layout, flow, scalar

# What YAML has at all: other control characters cannot even be read.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=40)
SCALARS = TEXTS | st.integers() | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
LAYOUTS = st.builds(Layout, step=st.integers(1, 6), dash=st.integers(0, 4), item=st.integers(2, 5))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("eu-west-1", "eu-west-1"),
        ("/var/run/x_y.z", "/var/run/x_y.z"),
        ("64Mi", "64Mi"),
        ("10m", "10m"),
        ("true", '"true"'),
        ("Off", '"Off"'),
        ("n", '"n"'),
        ("~", '"~"'),
        ("null", '"null"'),
        ("", '""'),
        ("0644", '"0644"'),
        ("1e3", '"1e3"'),
        ("10E", '"10E"'),
        ("2026-01-01", '"2026-01-01"'),
        ("arn:aws:iam::1:role/x", '"arn:aws:iam::1:role/x"'),
        ("a,b", '"a,b"'),
        ("-", '"-"'),
        ("=", '"="'),
        ("<<", '"<<"'),
        ("a\nb", '"a\\nb"'),
        ("\u2028\x7f\U000e0001", '"\\u2028\\u007f\\U000e0001"'),
        ('{"a": "it\'s"}', """'{"a": "it''s"}'"""),
        (1, "1"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_texts_are_quoted_where_they_could_be_something_else(value: object, text: str) -> None:
    assert scalar(value) == text


@pytest.mark.parametrize("value", ["a,b", "localhost:5000/x@sha256:0a", "arn:aws:iam::1:role/x"])
def test_commas_and_colons_need_no_quotes_in_a_block(value: str) -> None:
    assert scalar(value, in_block=True) == value
    assert yaml.safe_load(f"a: {value}\n") == {"a": value}


@pytest.mark.parametrize("style", ["", '"', "'"])
@pytest.mark.parametrize("in_block", [True, False])
@given(value=SCALARS)
@example(value="\x85")
@example(value="a:")
@example(value="a #b")
@example(value="\\")
def test_every_scalar_is_read_as_it_was(value: object, style: str, in_block: bool) -> None:
    text = scalar(value, style=style, in_block=in_block)
    line = f"k: {text}\n" if in_block else f"{{k: {text}, l: [{text}]}}\n"
    assert yaml.safe_load(line)["k"] == value
    (document,) = read(line)
    assert plain(document.root)["k"] == value
    assert len(line.splitlines()) == 1


@given(value=VALUES)
def test_every_value_is_read_as_it_was_in_braces(value: Any) -> None:
    assert yaml.safe_load(f"k: {flow(value)}\n") == {"k": value}


@given(key=TEXTS, value=VALUES, layout=LAYOUTS, column=st.integers(0, 5))
def test_every_value_is_read_as_it_was_in_blocks(key: str, value: Any, layout: Layout, column: int) -> None:
    text = "\n".join(layout.entry(key, value, column))
    assert yaml.safe_load(text) == {key: value}


def test_small_maps_stand_on_one_line_and_annotations_on_a_line_each() -> None:
    value = {
        "annotations": {"a": "b"},
        "env": [{"name": "A", "value": "true"}],
        "resources": {"requests": {"cpu": "10m"}},
        "drop": ["ALL"],
        "empty": {},
    }
    lines = ["spec:", "  annotations:", "    a: b", "  env:", '    - {name: A, value: "true"}', "  resources:"]
    assert Layout().entry("spec", value, 0) == [*lines, "    requests: {cpu: 10m}", "  drop: [ALL]", "  empty: {}"]


def test_what_is_too_long_for_a_line_is_a_block() -> None:
    value = {"name": "P", "value": "x" * 120}
    assert Layout().of_item(value, 2) == ["  - name: P", f"    value: {'x' * 120}"]
    assert Layout().entry("k", value, 2)[0] == "  k:"
    assert len(Layout().of_item({"name": "P", "value": "x" * 100}, 2)) == 1
