"""A published pod, run by podman; kubelet's part, which podman 4.3 has no notion of, is played here.

The pod has a network of its own with two addresses and no way out: STS listens at one, the other is the pod's.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.emulator import Emulator, Kubelet, World, guide_world
from tests.image.network import Network
from tests.image.podman import HARD, inspected, log, podman
from tests.process import ROOT, Sidecar
from tests.wire import Response, ask, last
from tools.image import IMAGE, WORKLOAD

EXAMPLES: Final = ROOT / "deploy" / "examples"
SIDECAR: Final = "credential-sidecar"
STS, ADDRESS, PORT = "192.0.2.1", "192.0.2.2", 8080  # TEST-NET-1: nowhere else
LIMIT: Final = "64Mi"

Document = dict[str, Any]


def published(name: str = "pod") -> Document:
    """The pod of an example as a reader finds it, or as the API server would make it from its template."""
    (found,) = (each for each in _documents(name) if "containers" in _template(each).get("spec", {}))
    metadata = {**_template(found).get("metadata", {}), "name": found["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _template(found)["spec"]}


def files(name: str) -> dict[str, dict[str, str]]:
    """The files of an example's ConfigMaps."""
    return {each["metadata"]["name"]: each["data"] for each in _documents(name) if each["kind"] == "ConfigMap"}


def _documents(name: str) -> list[Document]:
    return [*yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text("utf-8"))]


def _template(document: Document) -> Document:
    """What holds the containers: a pod itself, or the innermost template."""
    inner = document.get("spec", {}).get("jobTemplate") or document.get("spec", {}).get("template")
    return _template(inner) if inner else document


def for_podman(pod: Document, folders: Path) -> Document:
    """The pod with other images and another STS, as podman 4.3 can run it.

    A native sidecar becomes an ordinary container, since podman knows no restartPolicy on init containers; `Pod.start`
    keeps the order. Volumes become folders below `folders`. Probes go, since podman would run `curl` in the container:
    `Pod.probe` asks. Ports go, since it would publish them. And the sidecar gets less memory than it is published with.
    """
    changed = copy.deepcopy(pod)
    spec = changed["spec"]
    native = [each for each in spec.pop("initContainers") if each.pop("restartPolicy", None) == "Always"]
    spec["containers"] = native + spec["containers"]
    for container in spec["containers"]:
        container["image"] = IMAGE if container["name"] == SIDECAR else WORKLOAD
        container["env"].append({"name": "AWS_ENDPOINT_URL_STS", "value": f"http://{STS}:{PORT}"})
        for key in ("startupProbe", "livenessProbe", "ports"):
            container.pop(key, None)
    native[0]["resources"]["limits"]["memory"] = LIMIT
    for volume in spec["volumes"]:
        name = volume["name"]
        volume.clear()
        volume |= {"name": name, "hostPath": {"path": str(folders / name), "type": "Directory"}}
    return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that podman has made; its containers are started one by one."""

    published: Document
    made: Document
    network: Network
    sts: Emulator
    kubelet: Kubelet
    folders: Path

    def container(self, name: str) -> str:
        """What podman calls it."""
        return f"{self.published['metadata']['name']}-{name}"

    async def start(self, name: str) -> None:
        """Starts a container, or starts it again."""
        await podman("start", self.container(name))

    @asynccontextmanager
    async def serving(self, *targets: str) -> AsyncIterator[Sidecar]:
        """The sidecar, started and with credentials: the moment in which kubelet starts the workload."""
        await self.start(SIDECAR)
        async with log(self.container(SIDECAR)) as running:
            for target in targets or ("default",):
                await running.served(target)
            assert (await self.probe("startupProbe")).status == 200
            yield running

    async def beside(self, settings: Mapping[str, str], token: Path, *command: str) -> str:
        """Runs a program in the pod's network with the sidecar's settings, except `settings`, and another token."""
        sidecar = self.made["spec"]["containers"][0]
        given = {**{each["name"]: each["value"] for each in sidecar["env"]}, **settings}
        options = [f"--env={name}={value}" for name, value in given.items() if value]
        options += ["--pod", self.made["metadata"]["name"], f"--memory={LIMIT.removesuffix('i')}", *HARD]
        options.append(f"--volume={token}:{sidecar['volumeMounts'][0]['mountPath']}:ro")
        return await podman("run", *options, *command)

    async def probe(self, which: str) -> Response:
        """The sidecar's answer to one of its probes, asked at the pod's address as kubelet does."""
        get = self.published["spec"]["initContainers"][0][which]["httpGet"]
        return await self.ask(get["port"], get["path"], host=ADDRESS)

    async def ask(self, port: int, path: str, *lines: str, host: str = "127.0.0.1") -> Response:
        """The answer to a request from inside the pod."""
        with self.network.entered():
            return await ask(port, last(path, *lines, host=host), host=host)


@asynccontextmanager
async def pod(
    home: Path,
    example: str = "pod",
    universe: Callable[[str], World] = guide_world,
    *,
    document: Document | None = None,
) -> AsyncIterator[Pod]:
    """The pod of an example, or another, made and not yet started, with its STS and its projected token."""
    document = document or published(example)
    async with AsyncExitStack() as stack:
        for volume in document["spec"]["volumes"]:
            stack.enter_context(_volume(home / volume["name"], volume))
            for name, text in files(example).get(volume.get("configMap", {}).get("name"), {}).items():
                (home / volume["name"] / name).write_text(text)
        made = for_podman(document, home)
        (home / "pod.yaml").write_text(yaml.safe_dump(made))
        name = document["metadata"]["name"]
        stack.push_async_callback(podman, "pod", "rm", "--force", "--ignore", "--time", "0", name)
        await podman("play", "kube", "--start=false", "--network", "none", str(home / "pod.yaml"))
        network = Network(await _infrastructure(name))
        for address in (STS, ADDRESS):
            network.add(address)
        emulator = Emulator(universe, host=STS, port=PORT)
        with network.entered():
            sts = await stack.enter_async_context(emulator)
        kubelet = Kubelet(home / "credential-sidecar-projected-token", sts)
        kubelet.project()
        yield Pod(published=document, made=made, network=network, sts=sts, kubelet=kubelet, folders=home)


@contextmanager
def _volume(path: Path, volume: Mapping[str, Any]) -> Iterator[None]:
    """A volume as kubelet makes it: an `emptyDir` in memory, root's and open to all; else a folder."""
    path.mkdir()
    if "emptyDir" not in volume:
        yield
        return
    size = volume["emptyDir"]["sizeLimit"].removesuffix("i").lower()
    assert volume["emptyDir"]["medium"] == "Memory"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


async def _infrastructure(name: str) -> int:
    """Starts what holds the pod's namespaces, and answers its process."""
    infra = await podman("pod", "inspect", "--format", "{{.InfraContainerID}}", name)
    await podman("start", infra)
    return int((await inspected(infra))["State"]["Pid"])
