"""Lines, columns, dashes, and the comments that belong to what is below them."""

from __future__ import annotations

import pytest

from sidecar.kube.documents import List, Map, read
from sidecar.kube.places import Page
from sidecar.kube.writing import Layout


def page(text: str) -> tuple[Page, Map]:
    (document,) = read(text)
    assert isinstance(document.root, Map)
    return Page(text), document.root


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("a: b # c\nz: 1\n", "z: 1\n"),
        ("a: b", ""),
        ("a:\n  b: [c,\n    d] # e\n\nz: 1\n", "\nz: 1\n"),
        ("a: |\n  b\n\nz: 1\n", "\nz: 1\n"),
        ("a: |+\n  b\n\nz: 1\n", "z: 1\n"),
        ("a: |\n  b\n   \nz: 1\n", "z: 1\n"),
        ("a: # b\nz: 1\n", "z: 1\n"),
        ("a: 'b\r\n\r\n  c'\r\nz: 1\r\n", "z: 1\r\n"),
    ],
)
def test_below_a_value_is_the_line_after_its_last(text: str, below: str) -> None:
    here, root = page(text)
    assert text[here.below(root.entries[0][1]) :] == below


@pytest.mark.parametrize(
    ("text", "above"),
    [
        ("a: 1\nz: 1\n", "z: 1\n"),
        ("a: 1\n# b\n# c\nz: 1\n", "# b\n# c\nz: 1\n"),
        ("a: 1\n# b\n\n# c\nz: 1\n", "# c\nz: 1\n"),
        ("a: 1\n  # b\nz: 1\n", "z: 1\n"),
        ('a: "b\n# c"\nz: 1\n', "z: 1\n"),
    ],
)
def test_above_a_key_are_the_comments_that_are_indented_like_it(text: str, above: str) -> None:
    here, root = page(text)
    (_, previous), (key, _) = root.entries
    assert text[here.above(key.start, previous) :] == above


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("l:\n- a\n- # - b\n  c\n-\n  - d\n- e: f\n", [0, 0, 0, 0]),
        ("l: &a\n  - a\n  - - b\n", [2, 2]),
        ("l: !!seq # - a\n    -   a\n", [4]),
        ("l:\n- a\n-", [0, 0]),
        ("l: &a\n  -", [2]),
    ],
)
def test_every_item_has_its_dash(text: str, columns: list[int]) -> None:
    here, root = page(text)
    (_, items) = root.entries[0]
    assert isinstance(items, List)
    dashes = [here.dash(items, at) for at in range(len(items.items))]
    assert [here.column(each) for each in dashes] == columns
    assert [text[each] for each in dashes] == ["-"] * len(columns)
    assert dashes == sorted(set(dashes))


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("a: {b: [c]}\n", Layout()),
        ("a:\n    b:\n    - c: d\n", Layout(step=4, dash=0, item=2)),
        ("a:\n   b:\n     -   c: d\n         e:\n            f: g\n", Layout(step=3, dash=2, item=4)),
        ("a:\n- b:\n  - c: 1\nd:\n  - e\n", Layout(step=2, dash=0, item=2)),
    ],
)
def test_the_layout_is_what_is_usual(text: str, layout: Layout) -> None:
    here, root = page(text)
    assert here.layout(root) == layout
