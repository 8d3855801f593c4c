"""What a spec says of itself agrees: selectors with labels, the policy with the ports, the command with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar import __version__, cli
from sidecar.config import SETTINGS
from tests.deploy.specs import EXAMPLES, ROOT, guarded, objects

STATUS = 9912


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
def test_whatever_selects_pods_selects_the_ones_of_its_file(path: Path) -> None:
    for found in objects(path):
        selector = found.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector)
        for pod in guarded(path):
            assert wanted.items() <= pod.metadata["labels"].items()


def test_the_policy_is_for_every_example_and_opens_the_status_port_to_monitoring_alone() -> None:
    (policy,) = objects(ROOT / "deploy" / "examples" / "networkpolicy.yaml")
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    labels = [pod.metadata["labels"] for path in EXAMPLES for pod in guarded(path)]
    assert labels
    assert [each for each in labels if not chosen.items() <= each.items()] == []
    monitoring, everybody = policy["spec"]["ingress"]
    assert [port for port in range(1, 65536) if allows(monitoring, port)] == [STATUS]
    assert [port for port in range(1, 65536) if not allows(everybody, port)] == [STATUS]
    assert monitoring["from"]
    assert "from" not in everybody
    (listen,) = (setting.default for setting in SETTINGS if setting.name == "SIDECAR_STATUS_LISTEN")
    assert listen.endswith(f":{STATUS}")


def allows(rule: dict[str, Any], port: int) -> bool:
    """Whether the rule lets TCP through to that port."""
    return any(
        each.get("protocol", "TCP") == "TCP" and each["port"] <= port <= each.get("endPort", each["port"])
        for each in rule["ports"]
        if "port" in each
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
def test_the_sidecar_runs_this_program_at_this_version(path: Path) -> None:
    for pod in guarded(path):
        assert pod.sidecar["command"] == ["credential-sidecar", "run"]
        cli.parser().parse_args(["run"])
        assert pod.sidecar["image"] == f"credential-sidecar:{__version__}"
        (port,) = pod.sidecar["ports"]
        assert port == {"name": "status", "containerPort": STATUS}
