"""The rules of the contract that a pod spec keeps or breaks, each as the complaints it has about a pod."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from sidecar import bypass
from sidecar.config import Config
from tests.deploy.specs import SIDECAR, TOKEN_FILE, URI, Object, Pod, environment, mounts

Rule = Callable[[Pod, Config], Iterator[str]]

_RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_PATH = "/v1/credentials"
# A file that may hold keys, beside what `bypass` knows of the environment.
_FILES = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"}
_PROXIES = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}
_SKIP = "eks.amazonaws.com/skip-containers"
_ROLE = "eks.amazonaws.com/role-arn"
# An hour of STS being away, second by second.
_PATIENCE = 3600
# What Kubernetes gives a pod that does not say, and what closing the listeners takes at most.
_GRACE, _CLOSING = 30, 5


def r1(pod: Pod, config: Config) -> Iterator[str]:
    """The URI is the listener's address as a literal, plain http, with a port and a path, and nothing else."""
    if not pod.askers:
        yield "no container asks the sidecar"
    for name, environ in _asking(pod):
        served = {f"http://{config.listen}{_PATH}/{each.name}" for each in config.targets}
        literal = re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w./-]+", environ[URI])
        if not literal or environ[URI] not in served | {f"http://{config.listen}{_PATH}"}:
            yield f"{name}: {URI} is {environ[URI]}"


def r3(pod: Pod, config: Config) -> Iterator[str]:
    """No relative URI, and no variable of AWS that is empty, in any container."""
    for container in pod.containers:
        environ = environment(container)
        if _RELATIVE in environ:
            yield f"{container['name']}: {_RELATIVE} is set"
        for name, value in environ.items():
            if name.startswith("AWS_") and not value:
                yield f"{container['name']}: {name} is empty"


def r4(pod: Pod, config: Config) -> Iterator[str]:
    """Who asks has nothing that outranks the endpoint, and is given nothing by a webhook."""
    for container in pod.askers:
        environ = environment(container)
        for name in (set(bypass.outranking(environ)) | _FILES & environ.keys()) - {URI, TOKEN_FILE}:
            yield f"{container['name']}: {name} outranks the endpoint"
        if container.get("envFrom"):
            yield f"{container['name']}: envFrom may have anything"
    annotations = _annotations({"metadata": pod.metadata})
    if _SKIP in annotations or _ROLE in _annotations(_account(pod)):
        skipped = annotations.get(_SKIP, "").split(",")
        for container in (pod.sidecar, *pod.askers):
            if container["name"] not in skipped:
                yield f"{container['name']}: the EKS webhook gives it another identity"


def r5(pod: Pod, config: Config) -> Iterator[str]:
    """Who asks never asks the node."""
    for name, environ in _asking(pod):
        if environ.get("AWS_EC2_METADATA_DISABLED") != "true":
            yield f"{name}: the node's metadata is not disabled"


def r6(pod: Pod, config: Config) -> Iterator[str]:
    """Who has a proxy asks loopback without it, whichever spelling it reads."""
    for name, environ in _asking(pod):
        for spared in ("NO_PROXY", "no_proxy") if _PROXIES & environ.keys() else ():
            if "127.0.0.1" not in environ.get(spared, "").split(","):
                yield f"{name}: {spared} does not have 127.0.0.1"


def r7(pod: Pod, config: Config) -> Iterator[str]:
    """Who asks names its target's token file, and has that directory read-only: it and the sidecar, and nobody else."""
    ours = {mount["mountPath"]: mount for mount in mounts(pod.sidecar)}
    folders = {each.name: f"{config.authorization_dir}/{each.name}" for each in config.targets}
    wanted = {asker["name"]: folders[_target(environment(asker), config)] for asker in pod.askers}
    for asker in pod.askers:
        if environment(asker).get(TOKEN_FILE) != f"{wanted[asker['name']]}/token":
            yield f"{asker['name']}: {TOKEN_FILE} is not its target's"
    for folder in folders.values():
        if folder not in ours or ours[folder].get("readOnly"):
            yield f"the sidecar cannot write into {folder}"
            continue
        volume = ours[folder]["name"]
        if pod.volume(volume).get("emptyDir", {}).get("medium") != "Memory":
            yield f"{volume} is not in memory"
        given = {name for name, wants in wanted.items() if wants == folder}
        yield from _handed(pod, volume, folder, given)


def _handed(pod: Pod, volume: str, folder: str, given: set[str]) -> Iterator[str]:
    for container in pod.others:
        found = [mount for mount in mounts(container) if mount["name"] == volume]
        if container["name"] not in given and found:
            yield f"{container['name']}: has {volume} and does not ask"
        expected = [{"name": volume, "mountPath": folder, "readOnly": True}]
        if container["name"] in given and found != expected:
            yield f"{container['name']}: does not have {volume} read-only at {folder}"


def r22(pod: Pod, config: Config) -> Iterator[str]:
    """The workload starts after the sidecar has credentials, however long that takes."""
    if pod.containers[0]["name"] != SIDECAR or not pod.spec.get("initContainers"):
        yield "the sidecar is not the first init container"
    if pod.sidecar.get("restartPolicy") != "Always":
        yield "the next container waits until the sidecar has ended"
    port = config.status_listen.port
    startup = pod.sidecar.get("startupProbe", {})
    if startup.get("httpGet") != {"path": "/readyz", "port": port}:
        yield "nothing waits for credentials"
    if startup.get("periodSeconds") != 1 or startup.get("failureThreshold", 0) < _PATIENCE:
        yield "it is not waited for an hour, second by second"
    if pod.sidecar.get("livenessProbe", {}).get("httpGet") != {"path": "/livez", "port": port}:
        yield "liveness is not asked of /livez"
    if "readinessProbe" in pod.sidecar:
        yield "one denial takes every pod out of its Service"


def r23(pod: Pod, config: Config) -> Iterator[str]:
    """The sidecar is told to end after the workload has: the order of native sidecars, with time for it."""
    if SIDECAR not in [each["name"] for each in pod.spec.get("initContainers", ())]:
        yield "an ordinary container is stopped together with the workload"
    if pod.sidecar.get("restartPolicy") != "Always":
        yield "it is no native sidecar"
    if "lifecycle" in pod.sidecar:  # a hook runs when the pod's end begins, before the workload has ended
        yield "a hook of the sidecar does not wait for the workload"
    if pod.spec.get("terminationGracePeriodSeconds", _GRACE) < config.drain + _CLOSING:
        yield "all are killed before it is the sidecar's turn"


def held(pod: Pod, config: Config) -> Iterator[str]:
    """The projected token and the state are the sidecar's alone, where its settings look for them."""
    paths = {mount["name"]: mount["mountPath"] for mount in mounts(pod.sidecar)}
    token, state = (_private(pod, kind) for kind in ("projected", "state"))
    for volume in (*token, *state):
        if pod.holds(volume) != [SIDECAR]:
            yield f"{volume} is held by {pod.holds(volume)}"
    files = {hop.token_file for target in config.targets for hop in target.hop.chain[:1]}
    if files != {f"{paths.get(name)}/token" for name in token}:
        yield f"the token is looked for at {files}"
    if [config.state_dir] != [paths.get(name) for name in state]:
        yield f"the state is kept at {config.state_dir}"
    if any("subPath" in mount for container in pod.containers for mount in mounts(container)):
        yield "a subPath is never updated"


def _private(pod: Pod, kind: str) -> list[str]:
    named = [each["name"] for each in pod.spec["volumes"] if kind in each or each["name"].endswith(kind)]
    return [name for name in named if SIDECAR in pod.holds(name)]


def house(pod: Pod, config: Config) -> Iterator[str]:
    """What experience has taught besides."""
    if pod.spec.get("enableServiceLinks") is not False:
        yield "a Service named sidecar… sets variables"
    if pod.spec.get("shareProcessNamespace") or pod.spec.get("hostNetwork"):
        yield "others reach into the sidecar"
    security = pod.sidecar["securityContext"]
    if tuple(map(security.get, ("runAsUser", "runAsGroup", "readOnlyRootFilesystem"))) != (59911, 59911, True):
        yield "the sidecar is not its own user on a read-only root"
    if not security.get("runAsNonRoot") or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the sidecar is restricted by the pod's grace alone"
    if not {"cpu", "memory"} <= pod.sidecar["resources"]["requests"].keys() or not pod.sidecar["resources"]["limits"]:
        yield "the sidecar's resources are not said"
    for name in _private(pod, "projected"):
        (source,) = pod.volume(name)["projected"]["sources"]
        wanted = {"path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 86400}
        if source != {"serviceAccountToken": wanted}:
            yield f"{name} is not a day's token for STS"


def _asking(pod: Pod) -> Iterator[tuple[str, dict[str, str]]]:
    return ((each["name"], environment(each)) for each in pod.askers)


def _target(environ: Mapping[str, str], config: Config) -> str:
    """Which target that container asks for; the first where the path has no name."""
    named = [each.name for each in config.targets if environ[URI].endswith(f"{_PATH}/{each.name}")]
    return (*named, config.targets[0].name)[0]


def _account(pod: Pod) -> Object:
    name = pod.spec.get("serviceAccountName")
    found = [each for each in pod.beside if each["kind"] == "ServiceAccount" and each["metadata"]["name"] == name]
    return found[0] if found else {}


def _annotations(found: Object) -> dict[str, str]:
    return dict(found.get("metadata", {}).get("annotations", {}))
