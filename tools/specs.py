"""Writes the pod specs of deploy/ from one pod, deploy/examples/pod.yaml: what they have in common is said once.

An example is that pod in a frame, with what is said otherwise in it; a component of Kustomize has parts of it.
`python -m tools.specs` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent, indent
from typing import Self

from tools.frames import FRAMES, KINDS, SIDECAR, WORKLOAD

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "deploy" / "examples"
KUSTOMIZE = ROOT / "deploy" / "kustomize"

_CHAIN = """\
        - {name: AWS_ROLE_ARN, value: "arn:aws:iam::111122223333:role/account-a-role"}
        - {name: SIDECAR_TARGET_ROLE_ARN, value: "arn:aws:iam::444455556666:role/account-b-role"}
"""
_DIRECT = """\
        - {name: AWS_ROLE_ARN, value: "arn:aws:iam::444455556666:role/account-b-role"} # trusts the service account
        - {name: SIDECAR_TARGET_ROLE_ARN, value: direct}
"""
_PROFILES = """\
        - {name: AWS_CONFIG_FILE, value: /etc/aws/config}
        - {name: SIDECAR_PROFILES, value: "orders,invoices"} # a target each, named after its profile
"""
_TOKEN = "        - {name: credential-sidecar-authorization, mountPath: /var/run/credential-sidecar/default}\n"
_TOKENS = """\
        - {name: credential-sidecar-profiles, mountPath: /etc/aws, readOnly: true}
        - {name: credential-sidecar-authorization-orders, mountPath: /var/run/credential-sidecar/orders}
        - {name: credential-sidecar-authorization-invoices, mountPath: /var/run/credential-sidecar/invoices}
"""
_VOLUME = """\
    - name: credential-sidecar-authorization # one for each target, in the containers meant to have that target
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
"""
_VOLUMES = """\
    - name: credential-sidecar-profiles # in the sidecar alone
      configMap: {name: orders-profiles}
    - name: credential-sidecar-authorization-orders # one for each target, in the containers meant to have that target
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    - name: credential-sidecar-authorization-invoices
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
"""
_STATE = "        - {name: SIDECAR_STATE_DIR, value: /var/run/credential-sidecar-state}\n"
_METADATA = """        - {name: AWS_EC2_METADATA_DISABLED, value: "true"} # never the node's role\n"""
_PROXY = """\
        - {name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}
        - {name: NO_PROXY, value: "127.0.0.1,localhost"}
"""
_URI = "        - {name: AWS_CONTAINER_CREDENTIALS_FULL_URI,"
_PROXIES = """\
        - {name: HTTP_PROXY, value: "http://proxy.example.com:3128"}
        - {name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}
"""
_SPARED = """\
        - {name: NO_PROXY, value: "127.0.0.1,localhost"} # else some clients ask the endpoint through the proxy
        - {name: no_proxy, value: "127.0.0.1,localhost"} # who reads which is their secret
"""
_RESOURCES = """\
        requests: {cpu: 10m, memory: 64Mi}
        limits: {memory: 128Mi}
"""
_FARGATE = """\
        requests: {cpu: 100m, memory: 128Mi} # Fargate wants the limits as requests
        limits: {cpu: 100m, memory: 128Mi}
"""
_IMAGE = "      image: your-app\n"
_SIZE = """\
      resources: # with the sidecar's and the 256Mi that Fargate adds: 0.25 vCPU and 0.5 GB
        requests: {cpu: 150m, memory: 128Mi}
        limits: {cpu: 150m, memory: 128Mi}
"""
_PARAMETERS = (
    "eu-west-1",
    '"arn:aws:iam::111122223333:role/account-a-role"',
    '"arn:aws:iam::444455556666:role/account-b-role"',
)
_CONFIG = "kind: ConfigMap, name: credential-sidecar"
_WORKLOAD = "kind: Pod, name: credential-sidecar-workload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The text of a pod in parts: its annotations, what is said of it, of its sidecar, its workload, its volumes."""

    annotations: str
    general: str
    sidecar: str
    workload: str
    volumes: str

    @classmethod
    def read(cls, path: Path = EXAMPLES / "pod.yaml") -> Self:
        """The parts of the pod at `path`; ValueError where it has others."""
        pattern = r".*?\n(  annotations:.*)spec:\n(.*)  initContainers:\n(.*)  containers:\n(.*)  volumes:\n(.*)"
        found = re.fullmatch(pattern, path.read_text(), re.DOTALL)
        if not found:
            raise ValueError(f"{path} is no pod with a sidecar")
        annotations, general, sidecar, workload, volumes = found.groups()
        return cls(annotations=annotations, general=general, sidecar=sidecar, workload=workload, volumes=volumes)

    def parts(self) -> dict[str, str]:
        """What a frame has places for, at the left margin: the annotations and the whole spec."""
        containers = f"  initContainers:\n{self.sidecar}  containers:\n{self.workload}"
        spec = f"{self.general}{containers}  volumes:\n{self.volumes}"
        return {"annotations": dedent(self.annotations), "pod": dedent(spec)}

    def but(self, **said: Mapping[str, str]) -> Self:
        """This pod with each part's swaps made in it."""
        return replace(self, **{part: swap(getattr(self, part), swaps) for part, swaps in said.items()})


def swap(text: str, swaps: Mapping[str, str]) -> str:
    """`text` with each key replaced wherever it stands; ValueError where it does not stand in it."""
    for old, new in swaps.items():
        if old not in text:
            raise ValueError(f"not in the pod: {old!r}")
        text = text.replace(old, new)
    return text


def put(frame: str, **parts: str) -> str:
    """`frame` with each line `<name>` replaced by that part, as far in as the line is; ValueError where it has none."""
    for name, part in parts.items():
        before, mark, after = frame.partition(f"<{name}>\n")
        if not mark:
            raise ValueError(f"no place in the frame for {name}")
        margin = before[len(before.rstrip(" ")) :]
        frame = before.rstrip(" ") + indent(part, margin) + after
    return frame


def _ending(pod: Pod) -> Pod:
    line = "restartPolicy: Never # the pod has ended when app has: nobody waits for a native sidecar\n"
    return replace(pod, general=f"  {line}{pod.general}")


def _two(pod: Pod) -> Pod:
    def container(name: str) -> str:
        return swap(
            pod.workload,
            {
                "- name: app\n": f"- name: {name}\n",
                "image: your-app": f"image: your-{name}",
                "/v1/credentials": f"/v1/credentials/{name}",
                "credential-sidecar/default": f"credential-sidecar/{name}",
                "name: credential-sidecar-authorization,": f"name: credential-sidecar-authorization-{name},",
            },
        )

    pod = pod.but(
        annotations={"sidecar,app": "sidecar,orders,invoices"},
        sidecar={_CHAIN: _PROFILES, _TOKEN: _TOKENS},
        volumes={_VOLUME: _VOLUMES},
    )
    return replace(pod, workload=container("orders") + container("invoices"))


def _fargate(pod: Pod) -> Pod:
    return pod.but(sidecar={_RESOURCES: _FARGATE}, workload={_IMAGE: _IMAGE + _SIZE})


def _proxied(pod: Pod) -> Pod:
    workload = {_URI: _PROXIES + _URI, _METADATA: _METADATA + _SPARED}
    return pod.but(sidecar={_STATE: _STATE + _PROXY}, workload=workload)


def examples() -> dict[Path, str]:
    """Every example but the pod itself: its path and its text."""
    pod = Pod.read()
    said = {
        "annotated": pod,
        "cronjob": _ending(pod),
        "daemonset": pod,
        "deployment": pod,
        "direct": pod.but(sidecar={_CHAIN: _DIRECT}),
        "fargate": _fargate(pod),
        "job": _ending(pod),
        "proxied": _proxied(pod),
        "statefulset": pod,
        "two-targets": _two(pod),
    }
    return {EXAMPLES / f"{name}.yaml": put(FRAMES[name], **each.parts()) for name, each in said.items()}


def components() -> dict[Path, str]:
    """What the components of Kustomize have of the pod."""
    pod = Pod.read()
    (links,) = re.findall(r"^  (enableServiceLinks: .*\n)", pod.general, re.MULTILINE)
    sidecar = swap(pod.sidecar, dict.fromkeys(_PARAMETERS, "set-by-the-parameters"))
    parts = {"links": links, "sidecar": dedent(sidecar), "volumes": dedent(pod.volumes)}
    patches = {f"sidecar/{name}.yaml": put(frame, **parts) for name, frame in SIDECAR.items()}
    files = {
        **patches,
        "sidecar/replacements.yaml": "".join(_replacement(*each) for each in _parameters()),
        "workload/replacements.yaml": "".join(_replacement(*each, create=True) for each in _additions(pod.workload)),
        "workload/workload.yaml": put(WORKLOAD, workload=dedent(pod.workload)),
    }
    return {KUSTOMIZE / name: text for name, text in files.items()}


def _parameters() -> Iterator[tuple[str, str, str]]:
    """What the sidecar is told by the including kustomization: the source's object and field, and the place of it."""
    for name in ("AWS_REGION", "AWS_ROLE_ARN", "SIDECAR_TARGET_ROLE_ARN"):
        place = f"initContainers.[name=credential-sidecar].env.[name={name}].value"
        yield _CONFIG, f"data.{name}", place


def _additions(workload: str) -> Iterator[tuple[str, str, str]]:
    """What the first container is given, each variable and mount of the pod's workload, as above."""
    for name in re.findall(r"{name: (\w+), value", workload):
        place = f"containers.0.env.[name={name}]"
        if "REGION" in name:
            yield _CONFIG, "data.AWS_REGION", f"{place}.value"
        else:
            yield _WORKLOAD, f"spec.{place}", place
    for name in re.findall(r"{name: ([\w-]+), mountPath", workload):
        place = f"containers.0.volumeMounts.[name={name}]"
        yield _WORKLOAD, f"spec.{place}", place


def _replacement(source: str, field: str, place: str, *, create: bool = False) -> str:
    """One of Kustomize's, for each kind by its name: that of kubectl 1.32 takes no pattern there, and says nothing."""
    options = "    options: {create: true}\n" if create else ""
    targets = [
        f"  - select: {{kind: {kind}, labelSelector: credential-sidecar.io/kustomize=true}}\n"
        f'    fieldPaths: ["{spec}.{place}"]\n{options}'
        for kind, spec in KINDS.items()
    ]
    return f'- source: {{{source}, fieldPath: "{field}"}}\n  targets:\n{"".join(targets)}'


def main() -> None:
    """Writes them."""
    for path, text in {**examples(), **components()}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
