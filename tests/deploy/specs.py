"""The pod specs that are published, read: every pod of every file, whatever it is made by."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar import config
from sidecar.config import Config

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = tuple(sorted((ROOT / "deploy" / "examples").glob("*.yaml")))
OVERLAYS: Final = tuple(
    sorted(
        found.parent
        for found in (ROOT / "deploy/kustomize/example").glob("*/kustomization.yaml")
        if found.parent.name not in ("base", "injector")
    )
)
# Whose pods have no sidecar: they give it to others.
INJECTOR: Final = ROOT / "deploy" / "kustomize" / "example" / "injector"
RENDER: Final = "rendered.yaml"
FILES: Final = (*EXAMPLES, *(overlay / RENDER for overlay in OVERLAYS))

SIDECAR: Final = "credential-sidecar"
URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
# Where a workload has its pod.
_TEMPLATES: Final = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of a file: what it is made by, its metadata and spec, and all objects of the file."""

    name: str
    metadata: Object
    spec: Object
    beside: tuple[Object, ...]

    @property
    def containers(self) -> list[Object]:
        """All of them, in the order of their start."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def sidecar(self) -> Object:
        """Wherever it stands."""
        (found,) = (each for each in self.containers if each["name"] == SIDECAR)
        return found

    @property
    def others(self) -> list[Object]:
        """All other containers."""
        return [each for each in self.containers if each["name"] != SIDECAR]

    @property
    def askers(self) -> list[Object]:
        """Those that are meant to ask the sidecar."""
        return [each for each in self.others if URI in environment(each)]

    def volume(self, name: str) -> Object:
        """That volume."""
        (found,) = (each for each in self.spec["volumes"] if each["name"] == name)
        return dict(found)

    def holds(self, name: str) -> list[str]:
        """The containers that mount that volume."""
        return [each["name"] for each in self.containers if any(mount["name"] == name for mount in mounts(each))]

    def settings(self, folder: Path) -> Config:
        """What the sidecar makes of its environment; files of a ConfigMap are put into `folder`."""
        environ = environment(self.sidecar)
        for mount in mounts(self.sidecar):
            files = self._files(self.volume(mount["name"]).get("configMap", {}).get("name"))
            for name, text in files.items():
                (folder / name).write_text(text)
                there = {key for key, value in environ.items() if value == f"{mount['mountPath']}/{name}"}
                environ |= dict.fromkeys(there, str(folder / name))
        return config.resolve({}, environ)

    def _files(self, name: str | None) -> Mapping[str, str]:
        found = [
            each["data"] for each in self.beside if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name
        ]
        return found[0] if found else {}

    def copy(self) -> Pod:
        """One to change."""
        return replace(self, metadata=copy.deepcopy(self.metadata), spec=copy.deepcopy(self.spec))


def environment(container: Object) -> dict[str, str]:
    """The variables that are set to a text; one without is set to an empty one."""
    return {each["name"]: each.get("value", "") for each in container.get("env", ()) if not each.get("valueFrom")}


def mounts(container: Object) -> list[Object]:
    """What it mounts."""
    return list(container.get("volumeMounts", ()))


def objects(path: Path) -> tuple[Object, ...]:
    """The documents of a file."""
    return tuple(yaml.safe_load_all(path.read_text()))


def pods(path: Path) -> Iterator[Pod]:
    """The pods of a file."""
    beside = objects(path)
    for found in beside:
        if found["kind"] in _TEMPLATES:
            template = found
            for key in _TEMPLATES[found["kind"]]:
                template = template[key]
            name = f"{found['kind']}/{found['metadata']['name']}"
            yield Pod(name=name, metadata=template["metadata"], spec=template["spec"], beside=beside)


def guarded(path: Path) -> list[Pod]:
    """The pods of a file that have the sidecar."""
    return [pod for pod in pods(path) if any(each["name"] == SIDECAR for each in pod.containers)]
