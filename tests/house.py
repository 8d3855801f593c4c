"""Reads sources as syntax: what a module imports, how long its functions are, how many lines of code it has."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
_NOT_CODE = {tokenize.COMMENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.INDENT, tokenize.NEWLINE, tokenize.NL}
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported name, dotted and absolute; `lazy` where it happens inside a function."""

    name: str
    lazy: bool

    def of(self, package: str) -> bool:
        """Whether this is `package` or something in it."""
        return f"{self.name}.".startswith(f"{package}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One module: its dotted name, whether it is a package's `__init__`, and its text."""

    name: str
    text: str
    package: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """The module at `path`, named from the root of the repository."""
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        return cls(name=".".join(parts[:-1] if package else parts), text=path.read_text(), package=package)

    def imports(self) -> tuple[Import, ...]:
        """Everything imported, wherever it stands; `from a import b` is `a.b`, and relative imports are resolved."""
        return tuple(_imports(self, ast.parse(self.text), lazy=False))

    def long_functions(self, limit: int) -> list[str]:
        """The functions of more than `limit` lines, without their docstrings."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in ast.walk(ast.parse(self.text)) if isinstance(node, functions)]
        return [f"{self.name}.{node.name}: {_length(node)}" for node in found if _length(node) > limit]

    def calls(self) -> set[str]:
        """The names that are called, dotted as they are written: `open`, `monkeypatch.setattr`."""
        nodes = ast.walk(ast.parse(self.text))
        return {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}

    def lines(self) -> int:
        """The lines of the file."""
        return len(self.text.splitlines())

    def code_lines(self) -> int:
        """The lines that hold code: not blank, not a comment alone, not a docstring."""
        held: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _NOT_CODE:
                held.update(range(token.start[0], token.end[0] + 1))
        documented = (node for node in ast.walk(ast.parse(self.text)) if isinstance(node, _Documented))
        return len(held.difference(*map(_docstring, documented)))


def sources(*folders: str) -> tuple[Source, ...]:
    """Every module below `folders` of the repository."""
    return tuple(Source.read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def _imports(source: Source, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if isinstance(node, ast.Import):
        yield from (Import(name=alias.name, lazy=lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(source, node)
        yield from (Import(name=f"{base}.{alias.name}", lazy=lazy) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports(source, child, lazy=lazy)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.name.split(".")
    above = parts[: len(parts) - node.level + source.package]
    return ".".join([*above, node.module] if node.module else above)


def _docstring(node: _Documented) -> range:
    if ast.get_docstring(node, clean=False) is None:
        return range(0)
    first = node.body[0]
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1 - len(_docstring(node))
