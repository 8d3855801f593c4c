"""A cluster of one node: Kubernetes' own programs and Debian's containerd, with nothing played but STS.

It is for namespaces of its own, as `make cluster` makes them: its network leads nowhere, and whatever it starts or
mounts is gone with them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sidecar.emulator import Emulator, guide_world
from tests.deploy import tools
from tools import image

ADDRESS: Final = "192.0.2.1"  # the node's, and STS's; TEST-NET-1 is nowhere else
STS_PORT: Final = 8080
NODE: Final = "node"
# The first of the services' is the API server's; the node has that address, too, so that nobody has to forward.
SERVICES, PODS = "10.96.0.0/24", "10.244.0.0/24"
PAUSE: Final = "localhost/pause"  # holds a pod's namespaces open
TAG: Final = "tried"  # kubelet asks a registry for what is called `latest`
# Seconds for a program to be ready, or for what Kubernetes does by itself, on a busy machine.
PATIENCE: Final = 120
_TOKEN: Final = "the-token-of-the-only-user"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster, and what its users have: `kubectl`, `helm`, and an STS that trusts its tokens."""

    home: Path
    sts: Emulator

    def kubectl(self, *words: str | Path, given: str | None = None) -> str:
        """What a kubectl that must succeed prints; `given` is its standard input."""
        done = self.asked("kubectl", *words, given=given)
        assert done.returncode == 0, f"kubectl {words[0]}: {done.stderr}"
        return done.stdout

    def refused(self, *words: str | Path, given: str | None = None) -> str:
        """Why a kubectl that must fail did."""
        done = self.asked("kubectl", *words, given=given)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def get(self, *words: str) -> Document:
        """Objects, as the API server has them."""
        found = json.loads(self.kubectl("get", *words, "--output", "json"))
        assert isinstance(found, dict)
        return found

    def apply(self, *objects: Document) -> None:
        """Has them."""
        self.kubectl("apply", "--filename", "-", given=yaml.safe_dump_all(objects))

    def kill(self, container: str) -> None:
        """Ends a container as a lack of memory would, and does not say so to kubelet."""
        subprocess.run([*_ctr(self.home), "tasks", "kill", "--signal", "SIGKILL", container], check=True)

    def asked(self, name: str, *words: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """`kubectl` or `helm`, ended."""
        command: list[str | Path] = [tools.BUILT / "kubernetes", name] if name == "kubectl" else [tools.BUILT / name]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.home / "kubeconfig")}
        command += words
        patience = 2 * PATIENCE  # it may be told to wait itself
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, env=environ, timeout=patience
        )


@contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    """Starts it, with the images that `make image` made; `home` has its files, and a log of each program."""
    with ExitStack() as stack:
        sts = stack.enter_context(_sts())
        here = Cluster(home=home, sts=sts)
        _write(home, sts)
        stack.enter_context(_program(home, "containerd", "containerd", "--config", home / "containerd.toml"))
        for name, options in _options(home, sts).items():
            words = [f"--{option}={value}" for option, value in options.items()]
            stack.enter_context(_program(home, name, tools.BUILT / "kubernetes", name, *words))
            if name == "kube-apiserver":
                until(lambda: here.asked("kubectl", "get", "--raw", "/readyz").stdout == "ok", "an API server")
        _make_pause()
        _load(home, image.IMAGE, image.WORKLOAD, PAUSE)
        here.kubectl("wait", "--for=create", f"node/{NODE}", f"--timeout={PATIENCE}s")
        here.kubectl("wait", "--for=condition=Ready", f"node/{NODE}", f"--timeout={PATIENCE}s")
        yield here


def until(is_so: Callable[[], bool], what: str) -> None:
    """Asks again and again, since nobody tells."""
    end = monotonic() + PATIENCE
    while not is_so():
        assert monotonic() < end, f"no {what} after {PATIENCE} s"
        sleep(0.1)


@contextmanager
def _sts() -> Iterator[Emulator]:
    """The emulator in a thread of its own, since pods outlive a test's event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    emulator = Emulator(guide_world, host=ADDRESS, port=STS_PORT)
    try:
        yield asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result()
        asyncio.run_coroutine_threadsafe(emulator.__aexit__(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _program(home: Path, name: str, *command: str | Path) -> Iterator[None]:
    log = home / f"{name}.log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, cwd=home) as process:
        try:
            yield
        finally:
            early = process.poll() is not None
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            assert not early, f"{name} ended: {log.read_text()[-4000:]}"


def _options(home: Path, sts: Emulator) -> dict[str, dict[str, object]]:
    """The programs in the order of their start, and what each is told."""
    leader = {"kubeconfig": home / "kubeconfig", "leader-elect": "false"}
    return {
        "etcd": {"data-dir": home / "etcd", "log-level": "warn", "unsafe-no-fsync": "true"},
        "kube-apiserver": {
            "advertise-address": ADDRESS,
            "allow-privileged": "false",
            "authorization-mode": "RBAC",
            "cert-dir": home / "certificates",
            "enable-aggregator-routing": "true",  # a webhook's Service by its endpoints, for want of a kube-proxy
            "etcd-servers": "http://127.0.0.1:2379",
            "kubelet-preferred-address-types": "InternalIP",  # nobody knows the node by its name
            "secure-port": "443",
            "service-account-issuer": sts.issuer,
            "service-account-key-file": home / "issuer.pub",
            "service-account-signing-key-file": home / "issuer.key",
            "service-cluster-ip-range": SERVICES,
            "token-auth-file": home / "users.csv",
        },
        "kube-controller-manager": {
            **leader,
            "root-ca-file": home / "certificates" / "apiserver.crt",
            "service-account-private-key-file": home / "issuer.key",
        },
        "kube-scheduler": leader,
        "kubelet": {
            "config": home / "kubelet.yaml",
            "hostname-override": NODE,
            "kubeconfig": home / "kubeconfig",
            "node-ip": ADDRESS,
            "root-dir": home / "kubelet",
        },
    }


def _write(home: Path, sts: Emulator) -> None:
    key = sts.oidc.key
    (home / "issuer.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (home / "issuer.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (home / "users.csv").write_text(f"{_TOKEN},somebody,1,system:masters\n")
    (home / "kubeconfig").write_text(json.dumps(_kubeconfig(home)))
    (home / "kubelet.yaml").write_text(json.dumps(_kubelet(home)))
    (home / "containerd.toml").write_text(_CONTAINERD.format(home=home, pause=f"{PAUSE}:{TAG}"))
    (home / "cni").mkdir()
    (home / "cni" / "pods.conflist").write_text(json.dumps(_network(home)))


def _kubeconfig(home: Path) -> Document:
    server = {"server": f"https://{ADDRESS}", "certificate-authority": str(home / "certificates" / "apiserver.crt")}
    return {
        "clusters": [{"name": "here", "cluster": server}],
        "users": [{"name": "somebody", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "somebody"}}],
        "current-context": "here",
    }


def _kubelet(home: Path) -> Document:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "0%"},  # the machine's disk is nearly full, or not: it does not matter
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "resolvConf": "",
        "syncFrequency": "1s",  # so that a renewed Secret is projected soon
    }


_CONTAINERD: Final = """\
version = 2
root = "{home}/images"
state = "{home}/containers"
[grpc]
address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
netns_mounts_under_state_dir = true
restrict_oom_score_adj = true  # a machine that is a guest itself may not say who dies last
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{home}/cni"
"""


def _network(home: Path) -> Document:
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "dataDir": str(home / "addresses")}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True}
    routes = [{"dst": "0.0.0.0/0"}]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{**bridge, "ipam": {**addresses, "routes": routes}}]}


def _load(home: Path, *names: str) -> None:
    """Images from where `make image` keeps them to where kubelet finds them."""
    archive = home / "image.tar"
    for name in names:
        image.run("podman", "tag", name, f"{name}:{TAG}")
        image.run("podman", "save", "--quiet", "--output", str(archive), f"{name}:{TAG}")
        subprocess.run([*_ctr(home), "images", "import", archive], check=True, stdout=subprocess.DEVNULL)
        archive.unlink()


def _ctr(home: Path) -> list[str]:
    return ["ctr", f"--address={home}/containerd.sock", "--namespace=k8s.io"]


def _make_pause() -> None:
    made = image.run("buildah", "from", "scratch")
    image.run("buildah", "add", "--quiet", made, "/usr/bin/catatonit", "/pause")
    image.run("buildah", "config", "--entrypoint", '["/pause", "-P"]', made)
    image.run("buildah", "commit", "--quiet", "--rm", made, PAUSE)
