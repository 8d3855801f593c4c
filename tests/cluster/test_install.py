"""docs/install.md from the pod on, pasted where kubectl has a cluster. The AWS CLI's image is a stock boto3's here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.builders import REGION, ROLE_A, ROLE_B
from tests.cluster.node import PATIENCE, TAG, Cluster, until
from tests.deploy import tools
from tests.test_docs import ROOT, blocks
from tests.test_docs import text as text_of
from tools import image

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LOOP = '"while aws sts get-caller-identity --query Arn --output text; do sleep 10; done"'
# What only a cluster with a registry and a way to AWS has, and what is there instead.
_ELSEWHERE = {
    "kubectl create namespace shop\nkubectl create serviceaccount orders --namespace shop\n": "",
    "newName: amazon/aws-cli, newTag: 2.15.0}": f"newName: {image.WORKLOAD}, newTag: {TAG}}}",
    f"            command: [sh, -c, {LOOP}]\n": "",
    "            env:\n": '            env:\n              - {name: AWS_ENDPOINT_URL_STS, value: "$STS"}\n',
}


def pasted(here: Cluster, place: Path, page: str) -> str:
    """What a shell prints of it, which must succeed."""
    program = place / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {tools.BUILT}/kubernetes kubectl "$@"\n')
    program.chmod(0o755)
    said = {"REGION": REGION, "ROLE_A": ROLE_A, "ROLE_B": ROLE_B, "IMAGE": f"{image.IMAGE}:{TAG}", "STS": here.sts.url}
    environ = {"PATH": f"{place}:{os.environ['PATH']}", "HOME": str(place), "KUBECONFIG": str(here.home / "kubeconfig")}
    done = subprocess.run(
        ["bash", "-eu", "-c", page],
        cwd=place,
        env={**environ, **said},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_reader_gets_what_the_page_shows_and_the_doctor_finds_nothing(kubernetes: Cluster, tmp_path: Path) -> None:
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    start, wait, look, ask = blocks("docs/install.md", "sh")[4:8]
    for text, instead in _ELSEWHERE.items():
        assert text in start
        start = start.replace(text, instead)
    pasted(kubernetes, tmp_path, start)
    until(lambda: "arn:" in pasted(kubernetes, tmp_path, wait), "identity")
    assert f"    {pasted(kubernetes, tmp_path, wait).splitlines()[-1]}\n" in text_of("docs/install.md")
    said = pasted(kubernetes, tmp_path, look)
    assert '"event": "PhaseChanged"' in said
    assert json.loads(said.splitlines()[-1])["targets"][0]["phase"] == "fresh"
    assert "✗" not in pasted(kubernetes, tmp_path, ask)
    kubernetes.kubectl("delete", "pod", "orders", "--namespace", "shop")
