"""The map of the code, as data, and the proof that the code keeps to it."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import chain

import pytest

from tests.house import Import, Source, sources

# From the ground up. A module imports from the layers below its own; in a *closed* layer each module is a room that
# knows no neighbour, in an open one they build on each other without a circle.
LAYERS = {
    "nouns": {"errors", "model"},
    "decisions": {
        *("archive", "bypass", "contract", "events", "formats", "ledger", "page", "remedies"),
        *("rules", "schedule", "tokens", "values"),
    },
    "tools of the edges": {"board", "body", "files", "heads", "tls"},
    "edges": {
        *("authorization", "http", "log", "metrics", "probe", "recent"),
        *("credentials_file", "endpoint", "imds", "sockets", "state", "status", "sts", "token_file", "turns"),
    },
    "loop": {"refresher"},
    "composition": {"client", "config", "daemon", "process", "profiles", "settings", "workload"},
    "command line": {"__main__", "cli"},
}
PURE = LAYERS["nouns"] | LAYERS["decisions"]
CLOSED = LAYERS["edges"]
# Beside the daemon: never imported by it, and by the command line only when they are asked for.
FEATURES = {"demo", "doctor", "emulator", "iam", "kube"}

# What may know each library; the emulator is a program of its own.
OWNERS = {
    "aiobotocore": {"sts"},
    "aiohttp": {"heads", "sts"},  # sts translates the errors of the client that aiobotocore runs on
    "boto3": {"demo"},
    "botocore": {"sts", "profiles"},  # profiles: AWS's own reading of its configuration file
    "jwt": {"tokens"},
    "orjson": {"kube"},
    "prometheus_client": {"kube", "metrics"},
    "yaml": {"kube"},
}
# A list of what is pure, so that whatever is not on it is noticed.
PURE_LIBRARY = {
    *("__future__", "base64", "collections.abc", "dataclasses", "datetime", "difflib", "email.utils", "enum"),
    *(
        "functools",
        "hashlib",
        "hmac",
        "html",
        "http.HTTPStatus",
        "ipaddress",
        "itertools",
        "json",
        "jwt",
        "math",
        "re",
        "shlex",
    ),
    *("contextlib", "string", "types", "typing"),
}
IMPURE_BUILTINS = {"open", "print", "input", "breakpoint", "exec", "eval"}
PROBE_LIBRARY = {"__future__", "collections.abc", "socket", "sys"}

LONGEST_FUNCTION = 40  # a function is a screen
LONGEST_MODULE = 400  # above that it is two rooms
# Lines of the product: what one person reads in a day, with the webhook's TLS and bodies, the status page, and turns.
MOST_CODE = 3_990


def room(name: str) -> str:
    """The part of the map that a dotted name of the package belongs to; empty for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in _mapped() else ""


def _mapped() -> set[str]:
    return set(chain.from_iterable(LAYERS.values())) | FEATURES


def _height(part: str) -> int:
    return next((height for height, parts in enumerate(LAYERS.values()) if part in parts), len(LAYERS))


def _within(found: Import, allowed: set[str]) -> bool:
    return any(found.of(name) for name in allowed)


def breaches(source: Source) -> Iterator[str]:
    """Every import of `source` that the map does not have, as a sentence."""
    here = room(source.name)
    for found in source.imports():
        if found.of("sidecar"):
            yield from (f"{source.name} imports {found.name}: {why}" for why in _inside(here, found))
        else:
            yield from (f"{source.name} imports {found.name}: {why}" for why in _outside(here, found))


def _inside(here: str, found: Import) -> Iterator[str]:
    there = room(found.name)
    if there in ("", here):
        return
    is_command = here == "cli" and there != "emulator" and found.lazy
    if there in FEATURES and not (is_command or (here, there) == ("demo", "emulator")):
        yield "a feature is imported by the command line alone, when it is asked for"
    if there == "emulator" and found.name.count(".") != 2:
        yield "a neighbour's inside"
    if there not in FEATURES and _height(there) > _height(here):
        yield "upwards"
    if here in CLOSED and there in CLOSED:
        yield "a neighbour"


def _outside(here: str, found: Import) -> Iterator[str]:
    owned = next((owners for library, owners in OWNERS.items() if found.of(library)), None)
    if owned is not None and here not in owned | {"emulator"}:
        yield f"only {', '.join(sorted(owned))} may"
    if here in PURE and not _within(found, PURE_LIBRARY):
        yield "it is not on the list of what is pure"
    if here == "probe" and not _within(found, PROBE_LIBRARY):
        yield "a probe starts in the time that a socket takes"


def graph(modules: tuple[Source, ...]) -> dict[str, set[str]]:
    """Which part imports which."""
    edges: dict[str, set[str]] = {}
    for source in modules:
        here = room(source.name)
        there = {room(found.name) for found in source.imports() if found.of("sidecar")}
        edges.setdefault(here, set()).update(there - {here, ""})
    return edges


def test_every_module_is_on_the_map_and_the_map_has_no_other() -> None:
    parts = {source.name.split(".")[1] for source in sources("sidecar") if source.name != "sidecar"}
    assert parts == _mapped()


def test_imports_keep_to_the_map() -> None:
    assert [breach for source in sources("sidecar") for breach in breaches(source)] == []


def test_no_circle_of_imports() -> None:
    assert list(TopologicalSorter(graph(sources("sidecar"))).static_order())


def test_the_core_neither_opens_nor_prints() -> None:
    pure = [source for source in sources("sidecar") if room(source.name) in PURE]
    assert len(pure) == len(PURE)
    assert {source.name: source.calls() & IMPURE_BUILTINS for source in pure if source.calls() & IMPURE_BUILTINS} == {}


@pytest.mark.parametrize(
    ("module", "line", "why"),
    [
        ("sidecar.ledger", "from sidecar.sts import Sts", "upwards"),
        ("sidecar.ledger", "import sidecar.refresher", "upwards"),
        ("sidecar.model", "import asyncio", "pure"),
        ("sidecar.schedule", "from time import monotonic", "pure"),
        ("sidecar.schedule", "import random", "pure"),
        ("sidecar.tokens", "from pathlib import Path", "pure"),
        ("sidecar.contract", "from http import client", "pure"),
        ("sidecar.contract", "def f():\n    import os", "pure"),
        ("sidecar.endpoint", "from sidecar import sts", "a neighbour"),
        ("sidecar.refresher", "import botocore.session", "only profiles, sts may"),
        ("sidecar.log", "from prometheus_client import Counter", "only kube, metrics may"),
        ("sidecar.state", "from aiohttp import web", "only heads, sts may"),
        ("sidecar.probe", "import json", "a probe"),
        ("sidecar.daemon", "from sidecar.emulator import Emulator", "a feature"),
        ("sidecar.cli", "from sidecar import demo", "a feature"),
        ("sidecar.cli", "def f():\n    from sidecar import emulator", "a feature"),
        ("sidecar.daemon", "def f():\n    from sidecar import iam", "a feature"),
        ("sidecar.iam.shell", "from sidecar.emulator import World", "a feature"),
        ("sidecar.demo", "from sidecar.emulator.server import Call", "a neighbour's inside"),
        ("sidecar.emulator.server", "from .. import daemon, cli\nfrom ..demo import main", "a feature"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, line: str, why: str) -> None:
    (breach, *_) = breaches(Source(name=module, text=line))
    assert why in breach


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("sidecar.ledger", "from sidecar.schedule import Schedule"),
        ("sidecar.endpoint", "import asyncio\nfrom sidecar import __version__, ledger"),
        ("sidecar.cli", "def demo():\n    from sidecar import demo"),
        ("sidecar.cli", "def iam():\n    from sidecar import iam"),
        ("sidecar.demo", "from sidecar.emulator import Emulator"),
        ("sidecar.emulator.server", "from aiohttp import web\nfrom .sts import judge"),
        ("sidecar.contract", "from http import HTTPStatus\nfrom collections.abc import Mapping"),
    ],
)
def test_a_permitted_import_passes(module: str, line: str) -> None:
    assert list(breaches(Source(name=module, text=line))) == []


def test_no_function_is_longer_than_a_screen() -> None:
    everything = sources("sidecar", "tests")
    assert [found for source in everything for found in source.long_functions(LONGEST_FUNCTION)] == []


def test_no_module_is_longer_than_its_story() -> None:
    everything = sources("sidecar")
    assert {source.name: source.lines() for source in everything if source.lines() > LONGEST_MODULE} == {}


def test_the_product_is_small() -> None:
    product = [source for source in sources("sidecar") if room(source.name) not in FEATURES]
    assert sum(source.code_lines() for source in product) <= MOST_CODE


def test_the_tests_replace_nothing_and_sleep_for_nothing() -> None:
    everything = sources("tests")
    assert [s.name for s in everything if any(found.of("unittest.mock") for found in s.imports())] == []
    assert [s.name for s in everything if "monkeypatch.setattr" in s.calls()] == []


def test_lines_of_functions_and_of_code_are_counted_without_docstrings() -> None:
    text = '"""Module."""\n\n# why\n\n\ndef f() -> str:\n    """One\n    two."""\n    return """a\n\n    b"""  # c\n'
    source = Source(name="sidecar.x", text=text)
    assert source.code_lines() == 4
    assert source.long_functions(3) == ["sidecar.x.f: 4"]
    assert source.long_functions(4) == []
