"""What the API server makes of a pod: its defaults, and the token of its own API in every container."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

Object = dict[str, Any]

_ACCESS: Final = "kube-api-access-2c9xw"
_MOUNT: Final = {"name": _ACCESS, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
_SOURCES: Final = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
]
_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_CONTAINER: Final = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
}
_SPEC: Final = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "enableServiceLinks": True,
    "priority": 0,
    "preemptionPolicy": "PreemptLowerPriority",
}
_MODES: Final = {"projected", "configMap", "secret", "downwardAPI"}


def served(pod: Object) -> Object:
    """The pod with all of that; what is there already stays."""
    found = copy.deepcopy(pod)
    spec = found["spec"]
    _fill(spec, _SPEC)
    for container in _containers(spec):
        _serve(container)
    for volume in spec.setdefault("volumes", []):
        for kind in volume.keys() & _MODES:
            _fill(volume[kind], {"defaultMode": 0o644})
    spec["volumes"].append({"name": _ACCESS, "projected": {"sources": _SOURCES, "defaultMode": 0o644}})
    return found


def _serve(container: Object) -> None:
    _fill(container, _CONTAINER)
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if name in container:
            _fill(container[name], _PROBE)
            _fill(container[name].get("httpGet", {}), {"scheme": "HTTP"})
    for port in container.get("ports", ()):
        _fill(port, {"protocol": "TCP"})
    if _MOUNT["mountPath"] not in [mount["mountPath"] for mount in container.setdefault("volumeMounts", [])]:
        container["volumeMounts"].append(dict(_MOUNT))


def limited(pod: Object) -> Object:
    """The pod after a LimitRange has given every container what it does not say."""
    found = copy.deepcopy(pod)
    for container in _containers(found["spec"]):
        resources = container.setdefault("resources", {})
        _fill(resources.setdefault("limits", {}), {"cpu": "500m", "memory": "512Mi"})
        _fill(resources.setdefault("requests", {}), {"cpu": "100m", "memory": "64Mi"})
    found["metadata"].setdefault("annotations", {})["kubernetes.io/limit-ranger"] = (
        "LimitRanger plugin set: cpu limit for container"
    )
    return found


def _containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("initContainers") or ()
    yield from spec["containers"]


def _fill(found: Object, defaults: Object) -> None:
    for name, value in defaults.items():
        found.setdefault(name, copy.deepcopy(value))
