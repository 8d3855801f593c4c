"""YAML as a tree that knows its place in the text, and the data it says, read as Kubernetes reads it.

The parser is libyaml, which Kubernetes' own was made after: they take and refuse the same but for rarities.
Nothing is ever written from the tree: who changes a manifest changes places of its text (`edits`), so what is not
changed stays as it was written, character by character. JSON is YAML here, its tabs as blanks.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml
from yaml.cyaml import CSafeLoader
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)
from yaml.reader import ReaderError

MERGE: Final = "<<"
_DEEPEST = 100  # levels; a pod template in a list has a tenth
_LARGEST = 1_000_000  # nodes once every alias is written out: a line that stands for billions is an attack

# What a plain scalar means to Kubernetes, whose YAML is 1.1: its whole text by a pattern.
_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE, _FALSE = (
    re.compile("|".join(form for word in words for form in (word, word.capitalize(), word.upper())))
    for words in (("true", "yes", "on", "y"), ("false", "no", "off", "n"))
)
_INTEGER = re.compile(r"([-+]?)(?:0b([01_]+)|0o?([0-7_]+)|0x([0-9a-fA-F_]+)|(0|[1-9][0-9_]*))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

# What a tag says in so many words; every other tag, and every quote, is that of a text.
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}

_COLON = re.compile(r"\s*:")
_MARKERS = re.compile(r"^((?:---|\.\.\.)(?:[ \t\r].*)?)$", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*#.*", re.MULTILINE)
_HALF = re.compile(r"\\u[dD](?=[89a-fA-F])")  # of a character that JSON escapes as two
_DASH = re.compile(r"^[ \t]*(?:- +)*-", re.MULTILINE)
_LAST_LINES = re.compile(r"(?:\r?\n)*\Z")
_KEEPS = re.compile(r"(?:[&!]\S*\s+)*[|>][0-9]?\+")


class Unreadable(Exception):
    """The text is no YAML that Kubernetes takes: at which line (from 1) and column (from 1), and why."""

    def __init__(self, line: int, column: int, wrong: str) -> None:
        super().__init__(wrong)
        self.line, self.column, self.wrong = line, column, wrong


@dataclass(slots=True, eq=False, kw_only=True)
class _Placed:
    """What stands in the text from `start`, its anchor and tag included, to `end`; `size` counts nodes, aliases too."""

    start: int
    end: int
    line: int
    anchor: str = ""
    size: int = 1


@dataclass(slots=True, eq=False, kw_only=True)
class Scalar(_Placed):
    """A text; `style` is its quote, or `|` or `>`, or empty."""

    text: str
    style: str
    tag: str


@dataclass(slots=True, eq=False, kw_only=True)
class Alias(_Placed):
    """Stands for what has the anchor."""

    target: "Scalar | Map | List"


@dataclass(slots=True, eq=False, kw_only=True)
class Map(_Placed):
    """Keys and values, in braces where `is_flow`."""

    is_flow: bool
    entries: list[tuple[Scalar, "Node"]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False, kw_only=True)
class List(_Placed):
    """Items, in brackets where `is_flow`."""

    is_flow: bool
    items: list["Node"] = field(default_factory=list)


Node = Scalar | Alias | Map | List


class Fields(dict[str, Any]):
    """The data of a map, which knows where it was said."""

    __slots__ = ("node",)
    node: Node


class Items(list[Any]):
    """The data of a list, which knows where it was said."""

    __slots__ = ("node",)
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a text, where it ends, and the keys that it says twice."""

    root: Node
    end: int
    is_json: bool
    twice: Sequence[Unreadable]


def read(text: str) -> list[Document]:
    """The documents of `text`; raises Unreadable at the first thing that cannot be read."""
    documents, composer, body = [], _Composer(text), text.removeprefix("\ufeff")
    try:
        for event in yaml.parse(_as_yaml(body), CSafeLoader):
            if isinstance(event, DocumentStartEvent):
                composer = _Composer(text)
            elif isinstance(event, DocumentEndEvent):
                documents.append(composer.document(event))
            elif isinstance(event, NodeEvent | CollectionEndEvent):
                composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        words = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise Unreadable(line, column, f"it is no YAML: {words}") from None
    except ReaderError as error:
        before = body.encode()[: error.position].decode()  # it counts bytes
        line, column = place(text, len(text) - len(body) + len(before))
        raise Unreadable(line, column, f"a character that YAML does not have: U+{error.character:04X}") from None
    return documents


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column of what stands at `offset`, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _as_yaml(text: str) -> str:
    """JSON without what YAML does not take: tabs are blanks, and halves of characters whole ones. Nothing moves."""
    if "\t" not in text and not _HALF.search(text):
        return text
    return "".join(
        _HALF.sub(r"\\uf", part.replace("\t", " ")) if _parses(_COMMENTS.sub("", part)) else part
        for part in _MARKERS.split(text)
    )


def _is_json(root: Node, text: str) -> bool:
    return text[root.start : root.start + 1] in ("{", "[") and _parses(text[root.start : root.end])


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Composer:
    """Builds the tree of one document from its events."""

    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.twice: list[Unreadable] = []
        self._text, self._begin = text, int(text.startswith("\ufeff"))  # which has no place in marks
        self._anchors: dict[str, Scalar | Map | List] = {}
        self._open: list[Map | List] = []
        self._key: Scalar | None = None  # whose value comes next

    def document(self, event: DocumentEndEvent) -> Document:
        """What was taken, whole."""
        assert self.root is not None
        end, is_json = self._begin + event.end_mark.index, _is_json(self.root, self._text)
        return Document(root=self.root, end=end, is_json=is_json, twice=self.twice)

    def take(self, event: NodeEvent | CollectionEndEvent) -> None:
        """One event more."""
        if isinstance(event, CollectionEndEvent):
            self._close(self._begin + event.end_mark.index)
            return
        node = self._node(event)
        if node.anchor and not isinstance(node, Alias):
            self._anchors[node.anchor] = node
        self._attach(node)
        if isinstance(node, Map | List):
            if len(self._open) == _DEEPEST:
                raise self._unreadable(node.start, "it is nested deeper than anything of Kubernetes")
            self._open.append(node)

    def _node(self, event: NodeEvent) -> Node:
        start, end = self._begin + event.start_mark.index, self._begin + event.end_mark.index
        line, anchor = event.start_mark.line + 1, event.anchor or ""
        if isinstance(event, ScalarEvent):
            text, style, tag = event.value, event.style or "", event.tag or ""
            if style in ("|", ">") and not _KEEPS.match(self._text, start):
                end -= len(_LAST_LINES.findall(self._text[start:end])[0])
            if style == '"' and _HALF.search(self._text, start, end):
                with suppress(ValueError):  # what is no JSON was read as it is
                    text = json.loads(self._text[start:end])
            return Scalar(start=start, end=end, line=line, anchor=anchor, text=text, style=style, tag=tag)
        if isinstance(event, AliasEvent):
            return Alias(start=start, end=end, line=line, target=self._target(anchor, start))
        assert isinstance(event, CollectionStartEvent)
        kind = Map if isinstance(event, MappingStartEvent) else List
        return kind(start=start, end=end, line=line, anchor=anchor, is_flow=bool(event.flow_style))

    def _target(self, name: str, offset: int) -> "Scalar | Map | List":
        target = self._anchors.get(name)
        if target is None:
            raise self._unreadable(offset, f"*{name} is nothing: there is no &{name} before it in this document")
        if target in self._open:
            raise self._unreadable(offset, f"*{name} stands in what it stands for")
        return target

    def _attach(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        match self._open[-1]:
            case List() as parent:
                if _is_empty(node):
                    found = _DASH.search(self._text, parent.items[-1].end if parent.items else parent.start)
                    node.start = node.end = min(found.end(), node.end) if found else node.end
                parent.items.append(node)
            case Map() as parent if self._key:
                if _is_empty(node):
                    found = _COLON.match(self._text, self._key.end)
                    node.start = node.end = found.end() if found else self._key.end
                parent.entries.append((self._key, node))
                self._key = None
            case Map() as parent:
                self._key = self._named(node, parent)

    def _named(self, node: Node, parent: Map) -> Scalar:
        """The key that it is; Kubernetes takes a text, and each once."""
        key = node.target if isinstance(node, Alias) else node
        if not isinstance(key, Scalar):
            raise self._unreadable(node.start, "a key that is no text")
        if key.text in parent.names:
            self.twice.append(self._unreadable(node.start, f"the key {key.text!r} is there twice"))
        parent.names.add(key.text)
        return key if key is node else replace(key, start=node.start, end=node.end, line=node.line)

    def _close(self, end: int) -> None:
        node = self._open.pop()
        children = node.items if isinstance(node, List) else [value for _, value in node.entries]
        node.end = end if node.is_flow else children[-1].end
        node.size += sum(each.target.size if isinstance(each, Alias) else each.size for each in children)
        if node.size > _LARGEST:
            raise self._unreadable(node.start, "its aliases stand for more than a machine can hold")

    def _unreadable(self, offset: int, wrong: str) -> Unreadable:
        return Unreadable(*place(self._text, offset), wrong)


def _is_empty(node: Node) -> bool:
    """Whether nothing is written there; its place is then said to be that of what comes next."""
    return isinstance(node, Scalar) and node.start == node.end


def plain(node: Node) -> Any:
    """The data that `node` says, its aliases written out and its merge keys merged; every call makes it anew."""
    match node:
        case Alias():
            data = plain(node.target)
            if isinstance(data, Fields | Items):
                data.node = node
            return data
        case Map():
            fields = Fields()
            for base in map(plain, bases(node)):
                fields.update(base if isinstance(base, dict) else {})
            fields.update((key.text, plain(value)) for key, value in node.entries if not is_merge(key))
            fields.node = node
            return fields
        case List():
            items = Items(map(plain, node.items))
            items.node = node
            return items
        case Scalar():
            return _meaning(node)


def is_merge(key: Scalar) -> bool:
    """Whether the value of `key` is what the map says besides."""
    return key.text == MERGE and not key.style and not key.tag


def bases(node: Map) -> Iterator[Node]:
    """What a map says by its merge keys, the weakest first."""
    for key, value in node.entries:
        if is_merge(key):
            yield from reversed(value.items) if isinstance(value, List) else [value]


def _meaning(node: Scalar) -> Any:
    if node.tag not in _TAGS if node.tag else node.style:
        return node.text
    if _NULL.fullmatch(node.text):
        return None
    if _TRUE.fullmatch(node.text):
        return True
    if _FALSE.fullmatch(node.text):
        return False
    if found := _INTEGER.fullmatch(node.text):
        base, digits = next(
            (base, digits) for base, digits in zip((2, 8, 16, 10), found.groups()[1:], strict=True) if digits
        )
        return int(found[1] + (digits.replace("_", "") or "0"), base)
    return float(node.text) if _FLOAT.fullmatch(node.text) else node.text
