"""Manifests from files and standard input, and all of them as one stream or as a diff."""

import re
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import TextIO

from sidecar.errors import ConfigError, Problem
from sidecar.kube.manifests import Manifest

_STDIN, _STDIN_NAME = "-", "<stdin>"

_BEGINS = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(---(?=\s|\Z)|%)")  # after blank lines and comments
_BEGUN = re.compile(r"(?:\A|\n)---[ \t]*(?:#[^\n]*)?\r?\n?\Z")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")  # YAML's other line breaks are in the middle of diff's lines


def gather(names: Sequence[str], stdin: TextIO) -> Sequence[Manifest]:
    """What is in these files; `-` and no name at all are standard input. ConfigError with all that cannot be read."""
    if not names and stdin.isatty():
        wrong, remedy = "no manifest is given", "Name files, or give manifests on standard input."
        raise ConfigError.of("FILE", None, "command line", wrong, remedy)
    problems: list[Problem] = []
    manifests = []
    for at, name in enumerate(names or [_STDIN]):
        try:
            if name == _STDIN and name in names[:at]:
                raise _unfit(name, "standard input can be read once", "Name it once.")
            called = _STDIN_NAME if name == _STDIN else name
            manifests.append(Manifest(name=called, before=_text(called, _bytes(name, stdin))))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return manifests


def _bytes(name: str, stdin: TextIO) -> bytes:
    try:
        return stdin.buffer.read() if name == _STDIN else Path(name).read_bytes()
    except FileNotFoundError:
        raise _unfit(name, "there is no such file", "Name one that is there, or - for standard input.") from None
    except IsADirectoryError:
        raise _unfit(name, "it is a directory", f"Name its files: {Path(name) / '*.yaml'}") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        wrong = getattr(error, "strerror", None) or str(error)
        raise _unfit(name, f"it cannot be read: {wrong}", "Name a file that can.") from None


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unfit(name, f"line {line} is not UTF-8", "Convert the file to UTF-8.") from None


def _unfit(name: str, wrong: str, remedy: str) -> ConfigError:
    return ConfigError.of("FILE", name, "command line", wrong, remedy)


def joined(manifests: Sequence[Manifest]) -> str:
    """All of them as one stream, each as it is, and as a document of its own."""
    whole = ""
    for text in (each.after for each in manifests):
        if whole.strip("\ufeff \t\r\n"):
            whole += _between(whole, text.removeprefix("\ufeff")) + text.removeprefix("\ufeff")
        else:
            whole += text
    return whole


def _between(before: str, after: str) -> str:
    line = "" if before.endswith("\n") else "\n"
    begins = _BEGINS.match(after)
    if begins and begins[1] == "%":
        return f"{line}...\n"
    return line if begins or not after.strip() or _BEGUN.search(before) else f"{line}---\n"


def diff(manifests: Sequence[Manifest]) -> str:
    """What was changed in each of them, unified, to be read or given to `patch -p0`."""
    return "".join(line for each in manifests for line in _differences(each))


def _differences(manifest: Manifest) -> Iterator[str]:
    before, after = (_LINES.findall(text) for text in (manifest.before, manifest.after))
    for line in unified_diff(before, after, manifest.name, manifest.name):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
