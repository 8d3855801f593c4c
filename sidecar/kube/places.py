"""Where things stand in a text: lines, columns, dashes, and the comments that belong to what is below them."""

import re
from collections import Counter
from collections.abc import Iterator

from sidecar.kube.documents import List, Map, Node
from sidecar.kube.writing import Layout

_DASH = re.compile(r"^ *-(?!\S)", re.MULTILINE)


class Page:
    """A text, in which nodes have their places."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def line(self, offset: int) -> int:
        """Where the line of `offset` begins, after a mark of the byte order."""
        begin = self.text.rfind("\n", 0, offset) + 1
        return begin + self.text.startswith("\ufeff", begin, offset)

    def column(self, offset: int) -> int:
        """From 0."""
        return offset - self.line(offset)

    def key_column(self, node: Map) -> int:
        """That of the keys of a block; of the question mark, where the first has one."""
        return self.column(node.start if self.text[node.start] == "?" else node.entries[0][0].start)

    def indentation(self, offset: int) -> str:
        """What its line begins with."""
        begin = self.line(offset)
        rest = self.text[begin:offset]
        return rest[: len(rest) - len(rest.lstrip(" \t"))]

    def is_first(self, offset: int) -> bool:
        """Whether nothing but blanks stands before it on its line."""
        return not self.text[self.line(offset) : offset].strip(" \t")

    def below(self, node: Node) -> int:
        """Where the line after `node` begins, or where the text ends."""
        if self.text[node.end - 1 : node.end] == "\n":  # a block that keeps its last lines
            return node.end
        found = self.text.find("\n", node.end)
        return found + 1 if found >= 0 else len(self.text)

    def above(self, offset: int, previous: Node | None) -> int:
        """Where the line of `offset` begins, or the first of the comments above it that are indented alike; those of
        the `previous` node are not its own."""
        at, floor = self.line(offset), self.below(previous) if previous else 0
        comment = " " * self.column(offset) + "#"
        while at > floor and self.text.startswith(comment, above := self.line(at - 1)):
            at = above
        return at

    def dash(self, parent: List, at: int) -> int:
        """Where the dash of an item of a block is."""
        first = parent.start
        if self.text[first] != "-":  # the list has an anchor
            first = self._dash(_DASH, first)
        if at == 0:
            return first
        alike = re.compile(rf"^ {{{self.column(first)}}}-(?!\S)", re.MULTILINE)
        return self._dash(alike, parent.items[at - 1].end)

    def _dash(self, form: re.Pattern[str], begin: int) -> int:
        found = form.search(self.text, begin)
        return found.end() - 1 if found else begin  # YAML has rarer line ends; nothing is given that was not read again

    def layout(self, root: Node) -> Layout:
        """The columns that are usual below `root`."""
        found: dict[str, Counter[int]] = {"step": Counter(), "dash": Counter(), "item": Counter()}
        for name, columns in self._columns(root):
            found[name][columns] += 1
        usual = {name: counts.most_common(1)[0][0] for name, counts in found.items() if counts}
        return Layout(**usual)

    def _columns(self, node: Node) -> Iterator[tuple[str, int]]:
        if isinstance(node, Map) and not node.is_flow:
            for _, value in node.entries:
                yield from self._below_key(self.key_column(node), value)
                yield from self._columns(value)
        elif isinstance(node, List) and not node.is_flow:
            for at, item in enumerate(node.items):
                dash = self.dash(node, at)
                if isinstance(item, Map) and not item.is_flow and self.line(item.start) == self.line(dash):
                    yield "item", item.start - dash
                yield from self._columns(item)

    def _below_key(self, column: int, value: Node) -> Iterator[tuple[str, int]]:
        if isinstance(value, Map) and not value.is_flow:
            yield "step", self.key_column(value) - column
        elif isinstance(value, List) and not value.is_flow:
            yield "dash", self.column(self.dash(value, 0)) - column
