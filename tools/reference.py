"""Writes docs/reference.md from what the program itself says: settings, commands, annotations.

`python -m tools.reference` writes it, with `--check` it only says whether it is up to date (exit 1 where not).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from sidecar.cli import COMMANDS
from sidecar.kube.annotations import ANNOTATIONS
from sidecar.kube.annotations import PREFIX as OURS
from sidecar.settings import SETTINGS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference.md"
WIDTH = 100  # columns of a help text: a code block of a web page shows that many

_HEAD = """\
# Reference

Written by `make docs` from the program itself; a test compares the two. Edit the tables in the code, not this page.
"""
_SETTINGS = """\
## Settings

A setting is taken from its flag, else from the variable of its own name, else from AWS's name for it, else it has its
default. An empty flag or variable is an unset one. An unknown name that begins `SIDECAR_` is an error, except what
Kubernetes injects for a Service whose name begins with `sidecar`. All problems are reported at once, with exit code 2.
Where a *profile key* is given, a profile of the AWS config file says the same; `sidecar_transitive_tags` (the keys of
session tags that later hops inherit) is said in a profile alone. botocore itself honours `AWS_CA_BUNDLE`,
`AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT` and the proxy variables for calls to STS.
"""
_COMMANDS = """\
## Commands

`credential-sidecar COMMAND`, or `python -m sidecar COMMAND`.
"""
_ANNOTATIONS = f"""\
## Annotations

What a pod asks of [injection](injection.md), each with the prefix `{OURS}`; without it a name of `--set`. Values are
texts, so booleans and numbers stand in quotes. What becomes a setting of the sidecar has that setting's form.
"""
_WATCHING = """\
## Watching it

[Metrics](metrics.md), [events](events.md) and the [status page](status-page.md) have pages of their own.
"""


def page() -> str:
    """The whole page."""
    parts = (_HEAD, _SETTINGS, *_settings(), _COMMANDS, *_commands(), _ANNOTATIONS, *_annotations(), _WATCHING)
    return "\n".join(parts)


def _settings() -> Iterator[str]:
    for group, settings in groupby(SETTINGS, lambda setting: setting.group):
        yield f"### {group}\n"
        rows = [
            (_code(each.name, each.aws), _code(each.flag), each.meaning, _code(each.default), _code(each.key))
            for each in settings
        ]
        yield from _table(("setting", "flag", "meaning", "default", "profile key"), rows)


def _commands() -> Iterator[str]:
    for command in COMMANDS:
        yield f"### {command.name}\n\n```text\n{_help(command.name)}```\n"


def _annotations() -> Iterator[str]:
    for group, rows in groupby(ANNOTATIONS.values(), lambda each: each.group):
        yield f"### {group}\n"
        cells = [(_code(each.name), each.meaning, _code(each.default), _code(each.setting)) for each in rows]
        yield from _table(("annotation", "meaning", "default", "becomes"), cells)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield "\n".join(f"| {' | '.join(row)} |" for row in (heads, ("---",) * len(heads), *rows)) + "\n"


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words if word)


def _help(command: str) -> str:
    argv = [sys.executable, "-m", "sidecar", command, "--help"]
    environ = {**os.environ, "COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def main(argv: list[str]) -> int:
    """Writes the page, or compares it."""
    text = page()
    if argv == ["--check"]:
        if PAGE.is_file() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is out of date: run `make docs`", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
