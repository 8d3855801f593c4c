"""A text is made to say other data with as few changes as there can be: lines are added, and little else is touched.

What is wanted are the very maps and lists that `documents.plain` read, changed in place: so it is known what is new,
what has moved and what is as it was. An alias or a merge key stays where it still says what is wanted there; otherwise
an alias becomes what it stood for. What came of it is read again: a text that says anything else is never given.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

from sidecar.kube.documents import (
    Alias,
    Document,
    Fields,
    Items,
    List,
    Map,
    Node,
    Scalar,
    Unreadable,
    bases,
    is_merge,
    plain,
    read,
)
from sidecar.kube.places import Page
from sidecar.kube.writing import flow, scalar

# Where a person would put a key that is new: before that one, or after the last of these; all others at the end.
_BEFORE: Final = {"initContainers": "containers"}
_AFTER: Final = {
    "metadata": ("apiVersion", "kind"),
    "annotations": ("name", "generateName", "namespace", "labels"),
    "env": ("name", "image", "imagePullPolicy", "command", "args", "workingDir", "ports", "envFrom"),
}
_COMMENT = re.compile(r"(,?)[ \t]*#[^\r\n]*")

_Edit = tuple[int, int, str]


class Refused(Exception):
    """What is wanted cannot be said by changing the text at that line, and why."""

    def __init__(self, line: int, wrong: str) -> None:
        super().__init__(wrong)
        self.line, self.wrong = line, wrong


def rewrite(text: str, documents: Sequence[Document], wants: Sequence[Any]) -> str:
    """`text`, whose `documents` are to say `wants`, one each; raises Refused."""
    page, parts, begin = Page(text), [], 0
    for document, want in zip(documents, wants, strict=True):
        edits, end = _Editor(page, document).edits(want), document.end
        part = _apply(edits, text, begin, end)
        is_apart = end == len(text) or part[-1:] == text[end - 1]  # what follows begins a line, as it did
        if edits and not (is_apart and _says(part, want)):
            raise Refused(document.root.line, "its YAML is written in a way that nothing can be added to")
        parts.append(part)
        begin = end
    return "".join((*parts, text[begin:]))


def _says(text: str, want: Any) -> bool:
    try:
        says = [plain(document.root) for document in read(text)]
    except Unreadable:
        return False
    return _same(says, [want])


def _same(one: Any, other: Any) -> bool:
    """Whether the data is the same, types included; the order of keys is no data."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _apply(edits: Iterable[_Edit], text: str, begin: int, end: int) -> str:
    """That part of `text` with the edits made; of those at one place, in their order."""
    parts, at = [], begin
    for start, stop, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[at:start], new]
        at = stop
    return "".join((*parts, text[at:end]))


class _Editor:
    """The changes of one document, gathered from the inside out."""

    def __init__(self, page: Page, document: Document) -> None:
        self._page, self._root, self._is_json = page, document.root, document.is_json
        self._layout = page.layout(document.root)
        self._unit = self._indent_of_json()
        self._now: dict[int, Any] = {}  # what anchored nodes have come to say
        self._edits: list[_Edit] = []

    def edits(self, want: Any) -> list[_Edit]:
        """What has to be done to the text."""
        self._settle(self._root, want)
        return self._edits

    def _settle(self, node: Node, want: Any, column: int | None = None) -> None:
        """Lets `node` say `want`; `column` is that of the key whose value it is, where both are in a block."""
        if isinstance(node, Map) and node.entries and isinstance(want, Fields) and want.node is node:
            self._settle_map(node, want)
        elif isinstance(node, List) and node.items and isinstance(want, Items) and want.node is node:
            self._settle_list(node, want)
        elif not _same(self._said(node), want):
            self._replace(node, want, column)
        if node.anchor:
            self._now[id(node)] = want

    def _said(self, node: Node) -> Any:
        """What it says; an alias, by now."""
        target = node.target if isinstance(node, Alias) else None
        return self._now[id(target)] if target and id(target) in self._now else plain(node)

    # Maps

    def _settle_map(self, node: Map, want: Mapping[str, Any]) -> None:
        column = None if node.is_flow else self._page.key_column(node)
        base = self._settle_bases(node)
        own = {key.text: value for key, value in node.entries if not is_merge(key)}
        for key, value in own.items():
            self._settle(value, want[key], column)
        if lost := base.keys() - want.keys():
            wrong = f"its merge key would bring along {', '.join(sorted(lost))}, which is given to what it names alone"
            raise Refused(node.line, wrong)
        for key, value in want.items():
            if key not in own and not (key in base and _same(base[key], value)):
                self._add_key(node, key, value, column)

    def _settle_bases(self, node: Map) -> Mapping[str, Any]:
        """What its merge keys bring by now; nothing of it is asked to change."""
        brought: dict[str, Any] = {}
        for base in bases(node):
            if not isinstance(base, Alias):
                self._settle(base, plain(base))
            said = self._said(base)
            brought |= said if isinstance(said, Mapping) else {}
        return brought

    def _add_key(self, node: Map, key: str, value: Any, column: int | None) -> None:
        names = [name.text for name, _ in node.entries]
        above = _BEFORE.get(key)
        after = [names.index(name) + 1 for name in _AFTER.get(key, names) if name in names]
        at = names.index(above) if above in names else max(after, default=0)
        if column is None:
            name = json.dumps(key) if self._is_json else scalar(key)
            self._add_in_braces([(first.start, last.end) for first, last in node.entries], at, value, f"{name}: ")
            return
        previous = node.entries[at - 1][1] if at else None
        if previous and above not in names:
            place = self._page.below(previous)
        else:
            place = self._above(node, node.entries[at][0].start, previous)
        self._add_lines(place, self._layout.entry(key, value, column))

    # Lists

    def _settle_list(self, node: List, want: Sequence[Any]) -> None:
        origins, there = [*_origins(node, want)], range(len(node.items))
        if gone := {*there}.difference(origins):
            raise Refused(node.items[min(gone)].line, "an item is to be taken out")
        for _, i1, i2, j1, j2 in SequenceMatcher(None, there, origins, autojunk=False).get_opcodes():
            if [*there[i1:i2]] == origins[j1:j2]:
                for at in there[i1:i2]:
                    self._settle(node.items[at], want[j1 + at - i1])
                continue
            for each, origin in zip(want[j1:j2], origins[j1:j2], strict=True):
                self._add_item(node, i1, each, origin)
            self._edits += [(*self._span(node, at), "") for at in there[i1:i2]]

    def _add_item(self, node: List, at: int, value: Any, origin: int) -> None:
        """Before the item at `at`; `origin` is where it stands now, negative where it is new."""
        if node.is_flow:
            self._add_in_braces([(each.start, each.end) for each in node.items], at, value)
            return
        place = self._span(node, at)[0] if at < len(node.items) else self._page.below(node.items[-1])
        if origin < 0:
            self._add_lines(place, self._layout.of_item(value, self._page.column(self._page.dash(node, 0))))
        else:
            self._add_text(place, self._moved(node, origin, value))

    def _moved(self, node: List, origin: int, value: Any) -> str:
        """The text of an item, made to say `value`."""
        outer, self._edits = self._edits, []
        self._settle(node.items[origin], value)
        text = _apply(self._edits, self._page.text, *self._span(node, origin))
        self._edits = outer
        return text

    def _span(self, node: List, at: int) -> tuple[int, int]:
        """From where to where an item goes: with the comments above it, or a comma."""
        if node.is_flow:
            items = node.items
            if at + 1 < len(items):
                return items[at].start, items[at + 1].start
            return items[at - 1].end, items[at].end
        above = self._above(node, self._page.dash(node, at), node.items[at - 1] if at else None)
        return above, self._page.below(node.items[at])

    # Text

    def _above(self, node: Node, offset: int, previous: Node | None) -> int:
        if not self._page.is_first(offset):
            raise Refused(node.line, "what is to stand before it has no line of its own")
        return self._page.above(offset, previous)

    def _replace(self, node: Node, want: Any, column: int | None) -> None:
        if isinstance(node, Map | List) and not node.is_flow:
            raise Refused(node.line, "all of it is to be another")
        anchor, begin = node.anchor and f"&{node.anchor}", node.start  # its tag was that of what it was
        if column is not None and not self._is_json and isinstance(want, Mapping | list) and want:
            # What was `key: []` goes on below the key, and below what is said of it on its line.
            begin = len(self._page.text[:begin].rstrip(" "))
            self._edits.append((begin, node.end, anchor and f" {anchor}"))
            self._add_lines(self._page.below(node), self._layout.below(want, column))
            return
        text = self._value(want, None if self._unit is None else self._page.indentation(begin))
        if isinstance(node, Scalar) and isinstance(want, str) and not self._is_json:
            text = scalar(want, style=node.style, in_block=column is not None)
        blank = " " if self._page.text[begin - 1] == ":" else ""
        self._edits.append((begin, node.end, blank + (anchor and f"{anchor} ") + text))

    def _add_in_braces(self, spans: Sequence[tuple[int, int]], at: int, value: Any, name: str = "") -> None:
        """Between braces, before the part at `at`; on a line of its own where the first has one."""
        first, end = spans[0][0], spans[-1][1]
        lead = self._page.indentation(first) if self._page.is_first(first) else None
        text, apart = name + self._value(value, lead), " " if lead is None else self._page.newline + lead
        comment = _COMMENT.match(self._page.text, end)
        if at < len(spans):
            self._insert(spans[at][0], f"{text},{apart}")
        elif comment and lead is not None:
            self._insert(end, "" if comment[1] else ",")
            self._insert(comment.end(), f"{apart}{text}{comment[1]}")
        else:
            self._insert(end, f",{apart}{text}")

    def _value(self, value: Any, lead: str | None) -> str:
        """As it is written in braces, or in JSON; on several lines, which begin with `lead`, where that is said."""
        if not self._is_json:
            return flow(value)
        text = json.dumps(value, ensure_ascii=False, indent=None if lead is None else self._unit)
        return text.replace("\n", f"{self._page.newline}{lead}")

    def _indent_of_json(self) -> str | None:
        """By what a level is indented; None where all is on one line."""
        root, page = self._root, self._page
        first = root.entries[0][0].start if isinstance(root, Map) and root.entries else root.start
        if first == root.start or not page.is_first(first):
            return None
        return page.indentation(first).removeprefix(page.indentation(root.start))

    def _add_lines(self, place: int, lines: Iterable[str]) -> None:
        self._add_text(place, "".join(line + self._page.newline for line in lines))

    def _add_text(self, place: int, text: str) -> None:
        """Whole lines, before the one that begins there; the text's last line is not given an end that it had not."""
        text, is_open = text.removesuffix(self._page.newline), place and self._page.text[place - 1] != "\n"
        self._insert(place, self._page.newline + text if is_open else text + self._page.newline)

    def _insert(self, place: int, text: str) -> None:
        self._edits.append((place, place, text))


def _origins(node: List, want: Sequence[Any]) -> Iterator[int]:
    """Where each item that is wanted stands; negative, and unlike all others, where it is new."""
    places = {id(item): at for at, item in enumerate(node.items)}
    values = [(at, plain(item)) for at, item in enumerate(node.items) if isinstance(item, Scalar)]
    for number, each in enumerate(want, 1):
        if isinstance(each, Fields | Items):
            yield places.get(id(each.node), -number)
            continue
        found = next((pair for pair in values if _same(pair[1], each)), None)
        if found:
            values.remove(found)
        yield found[0] if found else -number
