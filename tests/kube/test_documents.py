"""The tree knows where everything stands, and what it says is what Kubernetes reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.kube.documents import Alias, List, Map, Node, Scalar, Unreadable, plain, read
from tests.kube.charts import CHARTS


def walk(node: Node) -> list[Node]:
    """It and all that is in it."""
    parts: list[Node] = []
    if isinstance(node, Map):
        parts = [part for pair in node.entries for part in pair]
    elif isinstance(node, List):
        parts = node.items
    return [node, *(each for part in parts for each in walk(part))]


def said(text: str) -> Any:
    (document,) = read(text)
    return plain(document.root)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("true", True),
        ("Yes", True),
        ("ON", True),
        ("off", False),
        ("No", False),
        ("nO", "nO"),
        ("0", 0),
        ("-12", -12),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("08", 8.0),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("10m", "10m"),
        ("'true'", "true"),
        ('"0644"', "0644"),
        ("!!str 0644", "0644"),
        ("! 0644", "0644"),
        ("!other 1", "1"),
        ('!!int "0644"', 0o644),
        ("!!null |-\n  null\n", None),
        (">-\n  1\n", "1"),
        ("[a, {b: c}, ]", ["a", {"b": "c"}]),
    ],
)
def test_scalars_are_what_kubernetes_takes_them_for(text: str, value: Any) -> None:
    found = said(f"v: {text}\n")["v"]
    assert (found, type(found).__name__.replace("Items", "list")) == (value, type(value).__name__)


def texts(node: Node) -> Any:
    """What it says, its scalars as they are written: what they mean is the test above."""
    match node:
        case Map():
            return {key.text: texts(value) for key, value in node.entries}
        case List():
            return [*map(texts, node.items)]
        case Alias():
            return texts(node.target)
        case Scalar():
            return node.text


@pytest.mark.parametrize("path", CHARTS, ids=lambda path: path.stem)
def test_a_chart_says_what_pyyaml_reads(path: Path) -> None:
    text = path.read_text()
    assert [texts(each.root) for each in read(text)] == [each or "" for each in yaml.load_all(text, yaml.BaseLoader)]


@pytest.mark.parametrize("path", CHARTS, ids=lambda path: path.stem)
def test_what_a_node_says_stands_where_it_is_said_to_stand(path: Path) -> None:
    text = path.read_text()
    for document in read(text):
        for node in walk(document.root):
            said = text[node.start : node.end]
            match node:
                case Map(is_flow=True) | List(is_flow=True):
                    assert (said[0], said[-1]) in (("{", "}"), ("[", "]"))
                case Map() | List():
                    assert said == said.strip()
                case Alias():
                    assert said.startswith("*")
                case _ if not node.style and "\n" not in said:
                    assert said == node.text


def test_what_is_not_written_stands_behind_its_colon_or_its_dash() -> None:
    text = "a: # b\nc :\n# d\ne:\n-\n- # f\n- g:\n"
    (document,) = read(text)
    empty = [node for node in walk(document.root) if node.start == node.end]
    assert [text[: node.start].rpartition("\n")[2] for node in empty] == ["a:", "c :", "-", "-", "- g:"]


def test_merge_keys_bring_what_is_not_said_otherwise() -> None:
    text = "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], z: 3}\n- {z: 3, <<: *b}\n- {'<<': 4}\n"
    assert said(text)[2:] == [{"x": 1, "y": 1, "z": 3}, {"y": 2, "z": 3}, {"<<": 4}]
    assert said(text)[2:] == [*yaml.safe_load(text)[2:4], {"<<": 4}]


def test_every_use_of_an_alias_is_data_of_its_own() -> None:
    found = said("a: &a {b: []}\nc: *a\n")
    found["a"]["b"].append(1)
    assert found["c"] == {"b": []}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: b\n  c: d\n", 2, 4, "mapping values are not allowed in this context"),
        ("a:\n\t- b\n", 2, 1, "cannot start any token"),
        ("a: [b\n", 2, 1, "expected ',' or ']'"),
        ("a: 'b\n", 2, 1, "end of stream"),
        ("a: b\0\n", 1, 5, "U+0000"),
        ("---\na: \x01", 2, 4, "U+0001"),
        ("a: *b\n", 1, 4, "no &b before it in this document"),
        ("a: &b 1\n---\nc: *b\n", 3, 4, "no &b"),
        ("a: &b [*b]\n", 1, 8, "stands in what it stands for"),
        ("? [a]\n: b\n", 1, 3, "a key that is no text"),
        ("[" * 101 + "]" * 101, 1, 101, "nested deeper"),
        ('{"a": 1}\n{"b": 2}\n', 2, 1, "did not find expected <document start>"),
        ("\ufeffa: b\n  c: d\n", 2, 4, "mapping values are not allowed in this context"),
        ("\ufeffa: b: c\n", 1, 5, "mapping values are not allowed in this context"),
        ("é: \u20ac\U0001f600\n\ufeffé: \u20ac\x01", 2, 6, "U+0001"),
        ("\ufeffé: \u20ac\x01", 1, 6, "U+0001"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line_and_column(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.wrong


def test_aliases_that_stand_for_billions_are_not_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 20)]
    with pytest.raises(Unreadable, match="more than a machine can hold"):
        read("\n".join(lines))


def test_keys_that_are_there_twice_are_all_told() -> None:
    (first, second) = read("a: 1\nb: {c: 1, c: 2}\n'a': 2\n---\nx: {y: 1}\ny: 1\n")
    assert [(each.line, each.column) for each in first.twice] == [(2, 11), (3, 1)]
    assert not second.twice


def test_json_is_known_wherever_it_is_and_may_be_indented_by_tabs() -> None:
    assert [each.is_json for each in read('{"a": [1]}\n---\n{a: 1}\n---\n[1, "b"]\n---\n"a"\n')] == [
        True,
        False,
        True,
        False,
    ]
    (document,) = read('{\n\t"a": "\\t"\n}')
    assert document.is_json
    assert plain(document.root) == {"a": "\t"}


def test_json_may_escape_characters_in_halves_wherever_it_stands() -> None:
    halves = r'{"\ud83D\uDe00": ["\\ud83d", "\ud83d\ude00 \\\ud83d\ude00", "\uD83d", "\ue83d"]}'
    value = json.loads(halves)
    literal = "--- # \\ud83d\nk: |\n  # \\ud83d\n  [1,\t2]\n  # \\ude00\n'\\ud83d': \"\\\\ud83d\"\n"
    assert "\U0001f600" in value
    assert said(halves) == value
    text = f"\ufeff# \t\n{halves}\n{literal}...\n---\t# c\n # c\n\t{halves}\n# c\r\n---"
    assert [plain(document.root) for document in read(text)] == [
        value,
        {"k": "# \\ud83d\n[1,\t2]\n# \\ude00\n", "\\ud83d": "\\ud83d"},
        value,
        None,
    ]


@pytest.mark.parametrize(
    "text", ["[8080, :8080]", "&a.b c", "a: b\u2028c\n", 'a: "\\ud83d\\ude00"', "a: 1\n...\nb: 2\n"]
)
def test_what_kubernetes_does_not_read_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n...\n---\n# c\n", "\ufeff"])
def test_there_may_be_nothing(text: str) -> None:
    assert [plain(document.root) for document in read(text) if plain(document.root) is not None] == []
