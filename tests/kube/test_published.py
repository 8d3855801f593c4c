"""The published pod specs are what injection makes of the same specs without a sidecar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.cli import main
from tests.house import ROOT
from tests.kube.opinions import loaded, pods

NAME, SKIP = "credential-sidecar", "eks.amazonaws.com/skip-containers"
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
# What a container asks by.
ASKING = {
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "NO_PROXY", "no_proxy"),
}
# What the sidecar is told, by the name that injection has for it.
SETTINGS = {
    "AWS_REGION": "region",
    "AWS_ROLE_ARN": "source-role-arn",
    "SIDECAR_TARGET_ROLE_ARN": "target-role-arn",
    "SIDECAR_PROFILES": "profiles",
    "HTTPS_PROXY": "https-proxy",
}
USUAL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}


def without(pod: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Takes the sidecar out of a pod, and all that is for it; what it was told."""
    spec = pod["spec"]
    sidecar = spec["initContainers"].pop(0)
    assert sidecar["name"] == NAME
    for each in sidecar["env"]:
        if each["name"] in SETTINGS:
            yield SETTINGS[each["name"]], each["value"]
    if sidecar["resources"] != USUAL:
        yield "resources", json.dumps(sidecar["resources"])
    yield from (("config-map", each["configMap"]["name"]) for each in spec["volumes"] if "configMap" in each)
    asked = {each["name"]: _target(each) for each in spec["containers"]}
    if any(asked.values()):
        yield "containers", ",".join(f"{name}={target}" for name, target in asked.items())
    for each in spec["containers"]:
        _keep(each, "env", [said for said in each["env"] if said["name"] not in ASKING])
        _keep(each, "volumeMounts", [said for said in each["volumeMounts"] if not said["name"].startswith(NAME)])
    _keep(spec, "volumes", [each for each in spec["volumes"] if not each["name"].startswith(NAME)])
    _keep(spec, "initContainers", spec["initContainers"])
    annotations = pod["metadata"]["annotations"]
    _keep(pod["metadata"], "annotations", {name: text for name, text in annotations.items() if name != SKIP})


def _target(container: dict[str, Any]) -> str:
    """Which target a container asks for; empty for the first."""
    (uri,) = (each["value"] for each in container["env"] if each["name"].endswith("CREDENTIALS_FULL_URI"))
    return str(uri).rpartition("/credentials")[2].removeprefix("/")


def _keep(parent: dict[str, Any], field: str, value: Any) -> None:
    if value:
        parent[field] = value
    else:
        del parent[field]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_published_spec_is_what_is_injected(
    path: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    documents = loaded(path.read_text())
    settings = [setting for document in documents for pod in pods(document) for setting in without(pod)]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    assert ("credential-sidecar:" in path.read_text()) == bool(settings)
    sets = [word for name, value in settings for word in ("--set", f"{name}={value}")]
    assert main(["inject", *sets, str(tmp_path / "bare.yaml")]) == 0
    assert loaded(capfdbinary.readouterr().out.decode()) == loaded(path.read_text())


def test_what_is_taken_out_is_all_of_it() -> None:
    (pod,) = loaded((ROOT / "deploy" / "examples" / "pod.yaml").read_text())
    assert dict(without(pod)).keys() == {"region", "source-role-arn", "target-role-arn"}
    assert NAME not in json.dumps(pod)
    assert "AWS_" not in json.dumps(pod)
