"""What stands in the way of injection: denied with words, or warned of.

A container that has another source of credentials is never given ours beside it: most SDKs would go on with the other
one in silence. What may be right all the same is a warning.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from sidecar import bypass
from sidecar.errors import Problem
from sidecar.kube.annotations import PREFIX, Asked
from sidecar.kube.pods import Container, Object, Pod, items, unfit
from sidecar.kube.sidecars import COMMAND, NAME, REGIONS, TOKEN, TOKEN_FILE, URI, port, status_port

# Containers of meshes; their proxies are native sidecars or ordinary containers.
PROXIES = ("istio-proxy", "linkerd-proxy")
MESHES = {*PROXIES, "istio-init", "istio-validation", "linkerd-init", "linkerd-network-validator"}
PROXY_VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
SKIP = "eks.amazonaws.com/skip-containers"
# By the mesh's proxy: what tells that egress is redirected before it runs, and what excludes a port from it.
_REDIRECTED = {
    "istio-proxy": ("istio-validation", "traffic.sidecar.istio.io/excludeOutboundPorts"),
    "linkerd-proxy": ("linkerd-network-validator", "config.linkerd.io/skip-outbound-ports"),
}
_LEAVE_OUT = f"or name the containers that are to have credentials in {PREFIX}containers"
_SKIPPED = f"name the container in {SKIP}, {_LEAVE_OUT}."
_IRSA = f"EKS does that for an annotated account, and has been here before: {_SKIPPED}"
_POD_IDENTITY = f"EKS does that for an account with an association, and has been here before: {_SKIPPED}"
_REMEDIES = {"AWS_ROLE_ARN": _IRSA, "AWS_WEB_IDENTITY_TOKEN_FILE": _IRSA, URI: _POD_IDENTITY, TOKEN_FILE: _POD_IDENTITY}
_FILES = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
_WAYS = {name: way.effect for way in bypass.WAYS for name in way.names}


def of_pod(pod: Pod) -> Iterator[Problem]:
    """What no pod may have that is given credentials."""
    if pod.spec.get("hostNetwork"):
        wrong = "pods of the host's network share its loopback: another could answer in the sidecar's place"
        yield unfit(
            "spec.hostNetwork", "true", "the pod", wrong, f'Leave it out, or label the pod {PREFIX}inject: "false".'
        )
    system = (pod.spec.get("os") or {}).get("name"), (pod.spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if "windows" in system:
        where = "spec.os.name" if system[0] == "windows" else "spec.nodeSelector"
        yield unfit(
            where, "windows", "the pod", "the sidecar is a Linux program", f'Label the pod {PREFIX}inject: "false".'
        )
    yield from _impostors(pod)


def _impostors(pod: Pod) -> Iterator[Problem]:
    """Containers of our name that are not the sidecar."""
    for each in pod.containers:
        if each.name != NAME:
            continue
        command = [*items(each.body, "command"), *items(each.body, "args")]
        if not (each.is_native and command[: len(COMMAND)] == COMMAND):
            wrong = f"it is no native sidecar (an init container with restartPolicy: Always) with the command {COMMAND}"
            yield unfit(each.pointer, NAME, "the pod", wrong, "Rename it, or take it out: injection brings its own.")


def of_ports(pod: Pod, asked: Asked) -> Iterator[Problem]:
    """Containers that say that they listen where the sidecar is to."""
    ours = {port(asked): "port", status_port(asked): "status-port"}
    for each in pod.containers:
        for said in items(each.body, "ports") if each.name != NAME else ():
            number = said.get("containerPort")
            if isinstance(number, int) and number in ours and said.get("protocol") in (None, "", "TCP"):
                remedy = f"Give the sidecar another with {PREFIX}{ours[number]}."
                yield unfit("containerPort", str(number), source(each), "the sidecar listens there", remedy)


def of_container(each: Container, wanted: Mapping[str, Object]) -> Iterator[Problem]:
    """Variables that outrank the endpoint, empty ones too; `wanted` is what injection sets."""
    for name in bypass.outranking(each.env):
        said = each.env[name]
        if name in wanted and said.get("value") == wanted[name]["value"]:
            continue
        effect = (
            f"a program that has it {_WAYS[name]}" if name in _WAYS else "it belongs to another source of credentials"
        )
        yield unfit(name, None, source(each), effect, _REMEDIES.get(name, f"Take it out, {_LEAVE_OUT}."))


def warnings(pod: Pod, givens: Sequence[Container], *, is_token_variable: bool) -> Iterator[str]:
    """What may be right all the same; each below the 256 characters that Kubernetes shows."""
    if pod.spec.get("shareProcessNamespace"):
        yield "shareProcessNamespace: every container can read the sidecar's memory and environment"
    if is_token_variable:
        yield f"{TOKEN} stands in the pod's spec: whoever may read pods reads it"
    for proxy, (validator, annotation) in _REDIRECTED.items():
        is_late = any(each.name == proxy for each in pod.main)
        if is_late and any(each.name == validator for each in pod.init) and not _excludes(pod.annotations, annotation):
            early = "starts after the sidecar, whose calls the mesh redirects to it before"
            yield f'{proxy} {early}: set {annotation}: "443", or let it be a native sidecar'
    for each in givens:
        yield from (f"{source(each)}: {sentence}" for sentence in _of_variables(each))


def _excludes(annotations: Object, name: str) -> bool:
    """Whether that list of ports, or of ranges of them, has STS's."""
    said = [re.fullmatch(r"(?a)\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part) for part in str(annotations.get(name)).split(",")]
    return any(int(found[1]) <= 443 <= int(found[2] or found[1]) for found in said if found)


def _of_variables(each: Container) -> Iterator[str]:
    env = each.env
    if items(each.body, "envFrom"):
        yield "envFrom may hold variables that outrank the sidecar"
    if "AWS_EC2_METADATA_DISABLED" in env and env["AWS_EC2_METADATA_DISABLED"].get("value") != "true":
        yield "AWS_EC2_METADATA_DISABLED is not true: without credentials it may take the node's role"
    yield from (f"{name} may bring other credentials" for name in _FILES if name in env)
    for name in REGIONS:
        if name in env and not env[name].get("value") and not env[name].get("valueFrom"):
            yield f"{name} is empty, and SDKs take that for a region"
    for name in () if env.keys().isdisjoint(PROXY_VARIABLES) else bypass.NO_PROXY:
        if env.get(name, {}).get("valueFrom"):
            yield f"{name} is from elsewhere: it must have 127.0.0.1"


def source(each: Container) -> str:
    """How a problem says that it is a container's."""
    return f"container {each.name}"
