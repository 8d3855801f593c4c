"""Every published pod has the Pod Security level `restricted`, by Kubernetes' own judgement."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.specs import FILES, ROOT, Object, objects, pods

# The first test builds the judge.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

POD = ROOT / "deploy" / "examples" / "pod.yaml"


def judged(podsecurity: Path, *paths: Path) -> tuple[int, str]:
    """The exit code, and what was said."""
    done = subprocess.run([podsecurity, *paths], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_pod_is_restricted(podsecurity: Path) -> None:
    wanted = [f"{path}: {pod.name} is restricted" for path in FILES for pod in pods(path)]
    code, said = judged(podsecurity, *(path for path in FILES if any(pods(path))))
    assert sorted(said.splitlines()) == sorted(wanted)
    assert code == 0


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("initContainers/0/securityContext/privileged", True, "privileged"),
        ("initContainers/0/securityContext/allowPrivilegeEscalation", True, "allowPrivilegeEscalation"),
        ("containers/0/securityContext/capabilities", {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "capabilities"),
        ("containers/0/securityContext/runAsUser", 0, "runAsUser=0"),
        ("securityContext/runAsNonRoot", False, "runAsNonRoot"),
        ("securityContext/seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
        ("volumes/2", {"name": "state", "hostPath": {"path": "/var/run"}}, "hostPath"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pod_that_is_not_is_refused(path: str, value: Any, said: str, podsecurity: Path, tmp_path: Path) -> None:
    (pod,) = objects(POD)
    code, answer = judged(podsecurity, written(changed(pod, path, value), tmp_path))
    assert (code, said in answer) == (1, True), answer


def test_what_was_not_looked_at_is_no_success(podsecurity: Path, tmp_path: Path) -> None:
    (pod,) = objects(POD)
    assert judged(podsecurity, ROOT / "deploy" / "examples" / "networkpolicy.yaml")[0] == 2
    assert judged(podsecurity, written({**pod, "kind": "PodTemplate"}, tmp_path))[0] == 2
    assert judged(podsecurity, written(changed(pod, "hostNetworks", value=True), tmp_path))[0] == 2


def changed(pod: Object, path: str, value: Any) -> Object:
    """The pod with another value at a path of its spec."""
    *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
    place: Any = pod["spec"]
    for key in way:
        place = place[key]
    place[last] = value
    return pod


def written(found: Object, folder: Path) -> Path:
    """A file with it: JSON is YAML."""
    path = folder / "pod.yaml"
    path.write_text(json.dumps(found))
    return path
