"""What is injected, as values: the sidecar's container, its volumes, and what a container is given to ask it.

It is deploy/examples/pod.yaml said by a program; a test holds the two to each other. What pods ask for alike is made
once, and nobody changes it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from sidecar.kube.annotations import ANNOTATIONS, REMEMBERED, Asked

NAME = "credential-sidecar"
COMMAND = [NAME, "run"]
URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_FILE, TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
OUR_TOKEN = "SIDECAR_AUTHORIZATION_TOKEN"
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
NOT_PROXIED = "127.0.0.1,localhost"

_AUTHORIZATION = "/var/run/credential-sidecar"
_STATE = "/var/run/credential-sidecar-state"
_TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
_PROFILES = "/etc/aws"
_PROJECTED, _STATE_VOLUME, _CONFIG = f"{NAME}-projected-token", f"{NAME}-state", f"{NAME}-profiles"
# The chain stands first in the environment, in this order.
_FIRST = ("AWS_REGION", "AWS_ROLE_ARN", "SIDECAR_TARGET_ROLE_ARN")
_RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
# What is left of a DNS label after `credential-sidecar-authorization-`.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")

Object = Mapping[str, Any]
_Make = TypeVar("_Make", bound=Callable[..., Any])


def _made_once(make: _Make) -> _Make:
    """What `make` makes is shared, but for pods that have a token of their own: theirs nobody asks for again."""
    shared = lru_cache(maxsize=REMEMBERED)(make)

    def made(asked: Asked, *others: str | None) -> Any:
        return (make if asked.token_variable else shared)(asked, *others)

    return cast(_Make, made)


def port(asked: Asked) -> int:
    """Where the credential endpoint listens."""
    return asked.port or int(ANNOTATIONS["port"].default)


def status_port(asked: Asked) -> int:
    """Where probes and metrics are."""
    return asked.status_port or int(ANNOTATIONS["status-port"].default)


@_made_once
def container(asked: Asked, image: str, token: str | None) -> Object:
    """The native sidecar; `token` is the first target's authorization token where it is not to be a random one."""
    at = status_port(asked)
    ready: Object = {"readinessProbe": {"httpGet": {"path": "/readyz", "port": at}}} if asked.readiness else {}
    return {
        "name": NAME,
        "image": image,
        "command": [*COMMAND],
        "restartPolicy": "Always",
        "env": [variable(name, text) for name, text in environment(asked, token).items()],
        "ports": [{"name": "status", "containerPort": at}],
        "startupProbe": {"httpGet": {"path": "/readyz", "port": at}, "periodSeconds": 1, "failureThreshold": 3600},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": at}},
        **ready,
        "resources": asked.resources or _RESOURCES,
        "securityContext": {
            "runAsNonRoot": True,
            **({} if asked.user is None else {"runAsUser": asked.user, "runAsGroup": asked.user}),
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts(asked),
    }


@_made_once
def environment(asked: Asked, token: str | None) -> Mapping[str, str]:
    """The sidecar's variables in their order."""
    said = {name: asked.settings[name] for name in _FIRST if name in asked.settings}
    if asked.config_map:
        said["AWS_CONFIG_FILE"] = f"{_PROFILES}/config"
    said |= {name: text for name, text in asked.settings.items() if name not in said}
    if asked.port:
        said["SIDECAR_LISTEN"] = f"127.0.0.1:{asked.port}"
    if asked.status_port:
        said["SIDECAR_STATUS_LISTEN"] = f"*:{asked.status_port}"
    if token:
        said[OUR_TOKEN] = token
    said["SIDECAR_STATE_DIR"] = _STATE
    if asked.https_proxy:
        said |= {"HTTPS_PROXY": asked.https_proxy, "NO_PROXY": NOT_PROXIED}
    return said


@_made_once
def mounts(asked: Asked) -> Sequence[Object]:
    """Where the sidecar has its volumes."""
    profiles = [_mount(_CONFIG, _PROFILES, is_read_only=True)] if asked.config_map else []
    return [
        _mount(_PROJECTED, _TOKEN, is_read_only=True),
        *profiles,
        *(_mount(_volume(asked, target), f"{_AUTHORIZATION}/{target}") for target in asked.targets),
        _mount(_STATE_VOLUME, _STATE),
    ]


@_made_once
def volumes(asked: Asked) -> Sequence[Object]:
    """The volumes of the sidecar, those of the authorization tokens among them."""
    token = {"path": "token", "audience": asked.audience, "expirationSeconds": 86400}
    profiles = [{"name": _CONFIG, "configMap": {"name": asked.config_map}}] if asked.config_map else []
    return [
        {"name": _PROJECTED, "projected": {"sources": [{"serviceAccountToken": token}]}},
        *profiles,
        *(_in_memory(_volume(asked, target)) for target in asked.targets),
        _in_memory(_STATE_VOLUME),
    ]


@_made_once
def given(asked: Asked, target: str, token: str | None) -> Mapping[str, Object]:
    """The variables by which a container asks for that target, by their names."""
    path = "" if asked.is_plain else f"/{target}"
    texts = {
        URI: f"http://127.0.0.1:{port(asked)}/v1/credentials{path}",
        TOKEN_FILE: f"{_AUTHORIZATION}/{target}/token",
        **({TOKEN: token} if token and target == asked.targets[0] else {}),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {name: variable(name, text) for name, text in texts.items()}


@_made_once
def mount(asked: Asked, target: str) -> Object:
    """The mount by which a container reads that target's authorization token."""
    return _mount(_volume(asked, target), f"{_AUTHORIZATION}/{target}", is_read_only=True)


def variable(name: str, text: str) -> Object:
    """A variable whose value is `text` after Kubernetes has expanded `$(NAME)` and `$$` in it."""
    return {"name": name, "value": text.replace("$", "$$")}


def _volume(asked: Asked, target: str) -> str:
    """A volume's name is a DNS label, and a target's is not always: then all go by their places."""
    if asked.is_plain:
        return f"{NAME}-authorization"
    is_label = all(_LABEL.fullmatch(each) for each in asked.targets)
    return f"{NAME}-authorization-{target if is_label else asked.targets.index(target) + 1}"


def _mount(volume: str, path: str, *, is_read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if is_read_only else {})}


def _in_memory(name: str) -> Object:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
