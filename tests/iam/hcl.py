"""Terraform's language, as far as our files use it: what an expression comes to, from python-hcl2's tree of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, eq, ne, or_
from pathlib import Path
from typing import Any, Final

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "concat": lambda *lists: [each for one in lists for each in one],
    "jsonencode": json.dumps,
    "length": len,
    "merge": lambda *maps: reduce(or_, maps, {}),
    "regex": lambda pattern, text: list(re.fullmatch(pattern, text).groups()),  # type: ignore[union-attr]
    "trimprefix": lambda text, prefix: text.removeprefix(prefix),
}
OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {"==": eq, "!=": ne, "&&": and_, "||": or_}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The blocks of a module's files, and the values of its variables."""

    blocks: tuple[Any, ...]
    given: Mapping[str, Any]

    @classmethod
    def read(cls, texts: Iterable[str], given: Mapping[str, Any]) -> Module:
        """The module that these files are."""
        import hcl2  # lazily: it comes with the extra `deploy`

        bodies = [hcl2.parses(text).body for text in texts]
        return cls(blocks=tuple(each for body in bodies for each in _of_kind(body, "BlockRule")), given=given)

    @classmethod
    def of(cls, folder: Path, given: Mapping[str, Any]) -> Module:
        """The module in a folder."""
        return cls.read([path.read_text() for path in sorted(folder.glob("*.tf"))], given)

    def resources(self, kind: str) -> Iterator[dict[str, Any]]:
        """The resources of that type, as often as their `count` says, with every attribute's value but for_each's."""
        for block in self._named("resource", kind):
            expressions = _attributes(block)
            if "for_each" in expressions:
                continue
            values = {name: self.value(each) for name, each in expressions.items()}
            yield from [values] * values.pop("count", 1)

    def locals(self) -> Iterator[dict[str, Any]]:
        """The values of each block of locals."""
        for block in self._named("locals"):
            yield {name: self.value(each) for name, each in _attributes(block).items()}

    def variables(self) -> dict[str, Any]:
        """The variables that are declared, and their values: given, else the default."""
        declared = {_words(block)[1]: _attributes(block) for block in self._named("variable")}
        assert set(self.given) <= set(declared), set(self.given) - set(declared)
        return {
            name: self.given[name] if name in self.given else self.value(said["default"])
            for name, said in declared.items()
        }

    def _named(self, *words: str) -> list[Any]:
        return [block for block in self.blocks if _words(block)[: len(words)] == [*words]]

    def _reference(self, node: Any) -> Any:
        names: list[str] = []
        while type(node).__name__ == "GetAttrExprTermRule":
            names.insert(0, str(node.get_attr.identifier.token.value))
            node = node.expr_term.expression
        match str(node.token.value), names:
            case "var", [name]:
                return self.variables()[name]
            case "local", [name]:
                (found,) = [_attributes(block)[name] for block in self._named("locals") if name in _attributes(block)]
                return self.value(found)
            case _, [label]:
                return label
            case kind, [label, name]:
                (block,) = self._named("resource", kind, label)
                return self.value(_attributes(block)[name])
            case _:
                pass
        raise AssertionError(f"{names} is not among the references of our files")

    def value(self, node: Any) -> Any:
        """What an expression comes to."""
        match type(node).__name__:
            case "ExprTermRule":
                return self.value(node.expression)
            case "ConditionalRule":
                return self.value(node.if_true if self.value(node.condition) else node.if_false)
            case "BinaryOpRule":
                operator = str(node.binary_term.binary_operator.token.value).strip()
                return OPERATORS[operator](self.value(node.expr_term), self.value(node.binary_term.expr_term))
            case "FunctionCallRule":
                (name,) = [str(each.token.value) for each in node.identifiers]
                return FUNCTIONS[name](*map(self.value, node.arguments.arguments))
            case "IndexExprTermRule":
                term, index = [each for each in node.children if each is not None][:2]
                return self.value(term)[self.value(index.index_expression)]
            case "GetAttrExprTermRule" | "IdentifierRule":
                return self._reference(node)
            case _:
                return self._literal(node)

    def _literal(self, node: Any) -> Any:
        match type(node).__name__:
            case "StringRule":
                return "".join(map(self._part, node.string_parts))
            case "ObjectRule":
                return {self._key(each.key): self.value(each.expression) for each in node.elements}
            case "TupleRule":
                return [self.value(each) for each in node.elements]
            case "IntLitRule" | "LiteralValueRule":
                return json.loads(str(node.token.value))
            case _:
                pass
        raise AssertionError(f"{type(node).__name__} is not among the expressions of our files")

    def _key(self, node: Any) -> str:
        inner = node.value
        return str(inner.token.value) if type(inner).__name__ == "IdentifierRule" else str(self.value(inner))

    def _part(self, node: Any) -> str:
        content = node.content
        if type(content).__name__ == "InterpolationRule":
            return str(self.value(content.expression))
        text = re.sub(r"([$%])\1\{", r"\1{", str(content.value))
        return str(json.loads(f'"{text}"'))


def _of_kind(body: Any, kind: str) -> list[Any]:
    return [each for each in body.children if type(each).__name__ == kind]


def _attributes(block: Any) -> dict[str, Any]:
    return {str(each.identifier.token.value): each.expression for each in _of_kind(block.body, "AttributeRule")}


def _words(block: Any) -> list[str]:
    return [each.serialize().strip('"') for each in block.labels]
