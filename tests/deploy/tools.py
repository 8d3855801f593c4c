"""The Go programs that judge deploy/, each built from a module of its own into `.deploy/`.

`python -m tests.deploy.tools` writes what Helm makes of the chart and Kustomize of the examples; tests compare. With
names of programs it builds those.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy import charts
from tests.deploy.specs import INJECTOR, OVERLAYS, RENDER, ROOT

BUILT: Final = ROOT / ".deploy"
_KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5"
# By name: the module beside this file that locks it, and what `go build` is given there.
PROGRAMS: Final = {
    "jsonpatch": ("jsonpatch", "."),
    "podsecurity": ("podsecurity", "."),
    "kustomize": ("kustomize/newest", _KUSTOMIZE),
    "kustomize-oldest": ("kustomize/oldest", _KUSTOMIZE),  # the one in kubectl of the oldest minor that is looked at
    "kubernetes": ("kubernetes", "."),
    "helm": ("helm/tool", "helm.sh/helm/v3/cmd/helm"),
}


def build(name: str) -> Path:
    """The program, built by one process at a time where it is not up to date; skips where there is no Go."""
    if shutil.which("go") is None:
        pytest.skip("no go: apt install golang-go (1.26 or later)")
    BUILT.mkdir(exist_ok=True)
    module, package = PROGRAMS[name]
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = Path(__file__).parent / module
        subprocess.run(["go", "build", *_flags(place), "-o", BUILT / name, package], cwd=place, check=True)
    return BUILT / name


def _flags(module: Path) -> list[str]:
    """Kubernetes is told its version, which a cluster's clients ask for."""
    version = re.search(r"\bk8s\.io/kubernetes v(\d+)\.(\d+)\.\d+", (module / "go.mod").read_text())
    if version is None:
        return []
    said = {"gitVersion": version[0].split()[1], "gitMajor": version[1], "gitMinor": version[2]}
    return ["-ldflags", " ".join(f"-X k8s.io/component-base/version.{name}={text}" for name, text in said.items())]


def render(kustomize: Path, overlay: Path) -> str:
    """What Kustomize makes of it."""
    return subprocess.run([kustomize, "build", overlay], capture_output=True, text=True, check=True).stdout


def write() -> None:
    """Writes both."""
    helm, kustomize = build("helm"), build("kustomize")
    for case in charts.CASES:
        charts.golden(case).write_text(charts.render(helm, "--values", case))
    (charts.BASE / "injector.yaml").write_text(charts.without_helm(charts.render(helm)))
    for overlay in (*OVERLAYS, INJECTOR):
        (overlay / RENDER).write_text(render(kustomize, overlay))


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        build(asked)
    if not sys.argv[1:]:
        write()
