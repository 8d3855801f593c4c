"""The chart and what Helm makes of it, for each file of values beside this one; the same for those without Helm."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import yaml

from tests.deploy.specs import ROOT, Object

CHART: Final = ROOT / "deploy" / "helm" / "credential-sidecar"
BASE: Final = ROOT / "deploy" / "kustomize" / "injector"
CASES: Final = tuple(sorted((Path(__file__).parent / "helm" / "values").glob("*.yaml")))
RELEASE: Final = "credential-sidecar"
NAMESPACE: Final = "credential-sidecar"
# The oldest that the chart is for; without a cluster Helm takes the one that it is told.
OLDEST: Final = "1.29.0"
# What says of an object that Helm made it.
_HELMS: Final = re.compile(
    r"^# Source: .*\n|^ +(app\.kubernetes\.io/(instance|managed-by)|helm\.sh/chart): .*\n", re.MULTILINE
)


def golden(case: Path) -> Path:
    """Where the render of those values is."""
    return case.parents[1] / "renders" / case.name


def asked(helm: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Helm, with nothing of the user's: neither plugins nor a cluster."""
    homes = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECONFIG")
    environ = dict.fromkeys(homes, str(helm.parent / "nothing"))
    return subprocess.run([helm, *words], capture_output=True, text=True, check=False, env=environ)


def template(
    helm: Path, *words: str | Path, chart: Path = CHART, namespace: str = NAMESPACE, version: str = OLDEST
) -> subprocess.CompletedProcess[str]:
    """What Helm makes of a chart, by default of ours, with those options, or why it does not."""
    return asked(helm, "template", RELEASE, chart, "--namespace", namespace, "--kube-version", version, *words)


def render(helm: Path, *words: str | Path, chart: Path = CHART, namespace: str = NAMESPACE) -> str:
    """What Helm makes of it."""
    done = template(helm, *words, chart=chart, namespace=namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parsed(text: str) -> list[Object]:
    """The objects of a render."""
    return [each for each in yaml.safe_load_all(text) if each]


def without_helm(text: str) -> str:
    """The render as the base of Kustomize has it."""
    return _HELMS.sub("", text).removeprefix("---\n")
