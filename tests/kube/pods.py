"""The folders of `cases/`, read: a pod, what comes of it, and what is said."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonpatch
import yaml

from sidecar.kube.injection import Injection, Injector, inject

PREFIX: Final = "credential-sidecar.io/"
FOLDER: Final = Path(__file__).parent / "cases"
# What chance gives: the cases have it in their expected pods.
DRAWN: Final = "0123456789abcdef0123456789abcdef"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A folder: `pod.yaml`, beside it `expected.yaml` or `denied.txt`; where needed `warnings.txt` and `set.yaml`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    def pod(self) -> Object:
        """The pod that is asked about."""
        return _read(self.folder / "pod.yaml")

    @property
    def expected(self) -> Object:
        """The whole pod that comes of it."""
        return _read(self.folder / "expected.yaml")

    @property
    def is_denied(self) -> bool:
        """Whether nothing comes of it."""
        return (self.folder / "denied.txt").exists()

    def phrases(self, name: str) -> list[str]:
        """The lines of `warnings.txt` or `denied.txt`: each must be said."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def injector(self) -> Injector:
        """What says the rest for all pods."""
        path = self.folder / "set.yaml"
        return injector(_read(path) if path.exists() else {})


def _read(path: Path) -> Object:
    """A new one at each call: whoever asks may change it."""
    return dict(json.loads(_text(path)))


@cache
def _text(path: Path) -> str:
    return json.dumps(yaml.safe_load(path.read_text()))  # YAML takes a hundred times as long to read


def injector(defaults: Mapping[str, str] | None = None) -> Injector:
    """One whose chance always gives the same."""
    return Injector(image="credential-sidecar:0.1.0", defaults=defaults or {}, random_token=lambda: DRAWN)


CASES: Final = tuple(Case(folder=path) for path in sorted(FOLDER.iterdir()))
INJECTED: Final = tuple(case for case in CASES if not case.is_denied)
DENIED: Final = tuple(case for case in CASES if case.is_denied)
BY_NAME: Final = {case.name: case for case in CASES}


def patched(pod: Any, injection: Injection) -> Any:
    """The pod as another's reading of RFC 6902 makes it; the one that is given stays as it is."""
    return jsonpatch.JsonPatch(copy.deepcopy(list(injection.operations))).apply(pod)


def injected(pod: Object, by: Injector | None = None) -> Object:
    """The pod with the sidecar."""
    found: Object = patched(pod, inject(pod, by or injector()))
    return found
