"""A second opinion on injected manifests: PyYAML reads them, jsonpatch applies the same operations to the data."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import jsonpatch
import yaml

from sidecar.kube.injection import IMAGE, Injector, inject
from sidecar.kube.manifests import Manifest, inject_all
from tests.builders import REGION, ROLE_A, ROLE_B

PLAIN = {"region": REGION, "source-role-arn": ROLE_A, "target-role-arn": ROLE_B}
LABEL = "credential-sidecar.io/inject"
# Where the pod of each kind is, said a second time.
_TEMPLATES = {
    "Pod": "",
    "PodTemplate": "template",
    "CronJob": "spec.jobTemplate.spec.template",
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), "spec.template"
    ),
}


def injector(settings: Mapping[str, str] = PLAIN) -> Injector:
    """One whose authorization tokens are no surprise."""
    return Injector(image=IMAGE, defaults=settings, random_token=lambda: "an-authorization-token")


def injected(text: str, settings: Mapping[str, str] = PLAIN) -> str:
    """A manifest after injection."""
    manifest = Manifest(name="it.yaml", before=text)
    ((after,), _) = inject_all([manifest], partial(inject, injector=injector(settings)))
    return after.after


def loaded(text: str) -> list[Any]:
    """Every document; JSON as JSON, of which YAML has no tabs."""
    with suppress(ValueError):
        return [json.loads(text)]
    return [*yaml.safe_load_all(text)]


def patched(text: str, settings: Mapping[str, str] = PLAIN) -> list[Any]:
    """Every document, with the pods in it patched by jsonpatch."""
    documents = copy.deepcopy(loaded(text))  # PyYAML's aliases are one object; here each is its own
    return [_patched(each, settings) for each in _unshared(documents)]


def pods(document: Any) -> Iterator[dict[str, Any]]:
    """The pods and pod templates of a document."""
    for each in (document or {}).get("items", [document]) if isinstance(document, dict) else ():
        pod = each
        for key in filter(None, _TEMPLATES.get(str((each or {}).get("kind")), "none").split(".")):
            pod = (pod or {}).get(key)
        if pod is not None:
            yield pod


def _patched(document: Any, settings: Mapping[str, str]) -> Any:
    for pod in pods(document):
        if ((pod.get("metadata") or {}).get("labels") or {}).get(LABEL) != "false":
            operations = inject(copy.deepcopy(pod), injector(settings)).operations
            jsonpatch.apply_patch(pod, copy.deepcopy([*operations]), in_place=True)
    return document


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [*map(_unshared, value)] if isinstance(value, list) else value
