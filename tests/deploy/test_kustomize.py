"""The components of Kustomize: what they make of an overlay is what is committed, and only where it is asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.specs import OVERLAYS, RENDER, ROOT, SIDECAR, Object, guarded, pods
from tests.deploy.tools import render

# The first test builds Kustomize.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

EXAMPLE = ROOT / "deploy" / "kustomize" / "example"
FIRST, NAMED = EXAMPLE / "first-container", EXAMPLE / "named-container"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: str(path.name))
def test_the_render_is_the_one_that_is_committed(overlay: Path, each_kustomize: Path) -> None:
    assert (overlay / RENDER).read_text() == render(each_kustomize, overlay), "run `make deploy WRITE=1`"


def test_every_kind_of_workload_has_it_and_what_was_not_chosen_does_not() -> None:
    assert {pod.name for pod in pods(FIRST / RENDER)} - {pod.name for pod in guarded(FIRST / RENDER)} == {
        "Deployment/web"
    }
    assert {pod.name.split("/")[0] for pod in guarded(FIRST / RENDER)} == {
        *("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    }
    assert [pod.name for pod in guarded(NAMED / RENDER)] == ["Deployment/orders"]


def test_the_container_that_asks_is_the_first_or_the_one_that_is_named() -> None:
    assert {pod.name: [each["name"] for each in pod.askers] for pod in guarded(FIRST / RENDER)} == {
        pod.name: [pod.spec["containers"][0]["name"]] for pod in guarded(FIRST / RENDER)
    }
    (pod,) = guarded(NAMED / RENDER)
    assert [each["name"] for each in pod.askers] == ["log-shipper"]


def test_the_rest_of_a_workload_is_left_as_it_is() -> None:
    before = {pod.name: pod for pod in pods(EXAMPLE / "base" / "workloads.yaml")}
    for pod in guarded(FIRST / RENDER):
        old = before[pod.name]
        assert bare(pod.spec) == {"enableServiceLinks": False, **bare(old.spec)}
        assert pod.metadata == old.metadata
        assert [each["name"] for each in pod.containers] == [SIDECAR, *(each["name"] for each in old.containers)]
        for ours, theirs in zip(pod.others, old.containers, strict=True):
            assert {**ours, "env": 0, "volumeMounts": 0} == {**theirs, "env": 0, "volumeMounts": 0}
            for key in ("env", "volumeMounts"):
                assert [each for each in ours.get(key, []) if each in theirs.get(key, [])] == theirs.get(key, [])


def bare(spec: Object) -> Object:
    """What is said of the pod itself."""
    return {key: value for key, value in spec.items() if key not in ("containers", "initContainers", "volumes")}


def test_the_sidecar_is_the_one_of_the_examples() -> None:
    (example,) = guarded(ROOT / "deploy" / "examples" / "deployment.yaml")
    for pod in guarded(FIRST / RENDER):
        assert {**pod.sidecar, "image": pod.sidecar["image"].rpartition("/")[2]} == example.sidecar
        assert [each for each in example.spec["volumes"] if each not in pod.spec["volumes"]] == []


def test_a_label_of_the_same_kustomization_comes_too_late(kustomize: Path, tmp_path: Path) -> None:
    late = "patches:\n  - target: {kind: Deployment}\n    patch: |\n"
    late += '      - {op: add, path: /metadata/labels, value: {credential-sidecar.io/kustomize: "true"}}\n'
    overlay = rewritten(tmp_path, lambda text: text.replace("  - chosen", "  # ") + late)
    (tmp_path / "late.yaml").write_text(render(kustomize, overlay))
    assert guarded(tmp_path / "late.yaml") == []
    assert [pod.name for pod in pods(tmp_path / "late.yaml")] == [pod.name for pod in pods(FIRST / RENDER)]


@pytest.mark.parametrize("line", [r".*AWS_ROLE_ARN.*\n", r"configMapGenerator:\n(  .*\n)+"], ids=["one", "all"])
def test_a_parameter_that_was_forgotten_ends_the_build(line: str, kustomize: Path, tmp_path: Path) -> None:
    overlay = rewritten(tmp_path, lambda text: re.sub(line, "", text))
    done = subprocess.run([kustomize, "build", overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "credential-sidecar" in done.stderr


def rewritten(folder: Path, change: Callable[[str], str]) -> Path:
    """The overlay of the first containers in a copy of everything, changed."""
    shutil.copytree(EXAMPLE.parent, folder, dirs_exist_ok=True)
    path = folder / "example" / FIRST.name / "kustomization.yaml"
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    return path.parent
