"""The cases of injection, by what reads pods for a living: Kubernetes' schemas, its Pod Security, its patches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.kube.injection import inject
from tests.deploy.test_podsecurity import judged
from tests.deploy.test_schemas import newest_minors
from tests.kube.pods import CASES, INJECTED, Case, injected

# The first test builds the programs.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

# No version of Kubernetes has those fields.
UNKNOWN: Final = "fields-of-tomorrow"


def test_every_pod_is_one_of_kubernetes_before_and_after() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="`make deploy` installs it")
    newest, *_, oldest = newest_minors(validator)
    for case in CASES:
        for pod in (case.pod,) if case.is_denied else (case.pod, case.expected):
            for version in (newest, oldest) if case.name != UNKNOWN else ():
                assert validator.validate(pod, version, strict=True) == version, case.name


def test_no_pod_loses_its_pod_security_level_by_injection(podsecurity: Path) -> None:
    compared = [case for case in INJECTED if case.name != UNKNOWN]
    before, after = (_verdicts(podsecurity, compared, name) for name in ("pod.yaml", "expected.yaml"))
    assert before == after
    assert sum(verdict == "is restricted" for verdict in after.values()) > len(compared) / 2


def _verdicts(podsecurity: Path, cases: list[Case], name: str) -> dict[str, str]:
    """What is said of that file of each case."""
    _, said = judged(podsecurity, *(case.folder / name for case in cases))
    lines = said.splitlines()
    assert len(lines) == len(cases), said
    return {case.name: line.split(" ", 2)[2] for case, line in zip(cases, lines, strict=True)}


def test_the_api_servers_own_patching_comes_to_the_same(jsonpatch: Path) -> None:
    tasks = [(case, inject(case.pod, case.injector).operations) for case in INJECTED]
    asked = [json.dumps({"document": case.pod, "patch": operations}) for case, operations in tasks]
    done = subprocess.run([jsonpatch], input="\n".join(asked), capture_output=True, text=True, check=True)
    answers: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(INJECTED)
    for case, answer in zip(INJECTED, answers, strict=True):
        assert json.dumps(answer, sort_keys=True) == json.dumps(injected(case.pod, case.injector), sort_keys=True)


def test_a_patch_that_does_not_apply_is_seen(jsonpatch: Path) -> None:
    task = {"document": {}, "patch": [{"op": "add", "path": "/spec/volumes/-", "value": {}}]}
    done = subprocess.run([jsonpatch], input=json.dumps(task), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
