"""How what is added is written: as the published pod specs are, small maps on one line and the rest in blocks."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_WIDTH: Final = 124  # characters behind the indentation, as the longest published one; a longer one is a block
# A text that every reader of YAML takes for one: a word, a path, a quantity; everything else is quoted.
_WORD, _QUANTITY = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII), re.compile(r"[0-9]+(?:m|[KMGTPE]i)")
_WORDS = re.compile(r"[A-Za-z_/](?:[\w./,:@-]*[\w./-])?", re.ASCII)  # in a block a comma is no more than that
_TAKEN = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
# Of metadata: a line each, as people write them.
_BLOCKS = ("annotations", "labels")


def scalar(value: object, *, style: str = "", in_block: bool = False) -> str:
    """One value; a text in quotes of that `style` where it can be, and without any where that is safe."""
    if not isinstance(value, str):
        return json.dumps(value)
    is_word = any(form.fullmatch(value) for form in (_WORD, _QUANTITY, *([_WORDS] if in_block else [])))
    if is_word and value.lower() not in _TAKEN and style not in ('"', "'"):
        return value
    if value.isprintable() and (style == "'" or (style != '"' and ('"' in value or "\\" in value))):
        return "'" + value.replace("'", "''") + "'"
    return "".join(each if each.isprintable() else _escaped(each) for each in json.dumps(value, ensure_ascii=False))


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def flow(value: Any) -> str:
    """Any value on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(key)}: {flow(each)}' for key, each in value.items())}}}"
    return f"[{', '.join(map(flow, value))}]" if isinstance(value, list) else scalar(value)


def _is_small(value: Any) -> bool:
    """Whether it reads best on one line: values, lists of them, and maps of these."""
    parts = value.values() if isinstance(value, Mapping) else [value]
    return all(not isinstance(each, Mapping) and _is_list_of_values(each) for each in parts)


def _is_list_of_values(value: Any) -> bool:
    return not isinstance(value, list) or not any(isinstance(each, Mapping | list) for each in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns: from a key to the keys below it, from a key to the dashes below it, from a dash to its item."""

    step: int = 2
    dash: int = 2
    item: int = 2

    def entry(self, key: str, value: Any, column: int) -> Sequence[str]:
        """The lines of a key and its value, the key in that column."""
        head = f"{' ' * column}{scalar(key, in_block=True)}:"
        if not isinstance(value, Mapping | list):
            return [f"{head} {scalar(value, in_block=True)}"]
        line = f"{head} {flow(value)}"
        if not value or (_is_small(value) and key not in _BLOCKS and len(line) <= column + _WIDTH):
            return [line]
        return [head, *self.below(value, column)]

    def below(self, value: Any, column: int) -> Sequence[str]:
        """The lines of a map or a list below a key in that column."""
        if isinstance(value, Mapping):
            return self._entries(value, column + self.step)
        return [line for each in value for line in self.of_item(each, column + self.dash)]

    def of_item(self, value: Any, column: int) -> Sequence[str]:
        """The lines of an item, its dash in that column."""
        head = f"{' ' * column}-{' ' * (self.item - 1)}"
        line = head + flow(value)
        if not isinstance(value, Mapping) or not value or (_is_small(value) and len(line) <= column + _WIDTH):
            return [line]
        first, *others = self._entries(value, column + self.item)
        return [head + first.lstrip(" "), *others]

    def _entries(self, value: Mapping[str, Any], column: int) -> Sequence[str]:
        return [line for key, each in value.items() for line in self.entry(key, each, column)]
