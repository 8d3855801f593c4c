"""Compiles what the running daemon imports of the standard library, into a tree of its own: a step of the Dockerfile.

The public Python images have no bytecode of the standard library, and under a read-only root none is ever kept: every
start would compile it again. It is checked by hash: what differs in another base image is compiled there, and no time
stamp counts.
"""

from __future__ import annotations

import importlib
import pkgutil
import py_compile
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

import sidecar

# Programs of developers, and what runs when it is imported.
_ABSENT = {"__main__", "demo", "emulator"}
# What is imported when it is needed: a random token, a file read beside the loop, the name of an STS endpoint.
_LATER = ("secrets", "concurrent.futures.thread", "encodings.idna")
_MODE = py_compile.PycInvalidationMode.CHECKED_HASH


def main(tree: str) -> None:
    """Writes below `tree` what Python looks for below `/`."""
    ours = [f"sidecar.{each.name}" for each in pkgutil.iter_modules(sidecar.__path__) if each.name not in _ABSENT]
    for name in (*ours, *_LATER):
        importlib.import_module(name)
    for source in _sources(sysconfig.get_path("stdlib")):
        py_compile.compile(source, tree + cache_from_source(source), doraise=True, invalidation_mode=_MODE)


def _sources(folder: str) -> Iterator[str]:
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    return (file for file in sorted(files) if file.endswith(".py") and Path(file).is_relative_to(folder))


if __name__ == "__main__":
    main(sys.argv[1])
