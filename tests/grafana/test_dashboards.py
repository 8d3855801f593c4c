"""The dashboards are what their source makes of them, and what Grafana's own schema says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.grafana import figures
from tests.grafana.lives import LENGTH
from tests.grafana.panels import DASHBOARDS, NAMES, document, filled, variables
from tests.grafana.prometheus import Prometheus, tool
from tests.harness import EPOCH
from tests.house import ROOT

# The first who wants the lives waits until they are recorded.
pytestmark = [pytest.mark.grafana, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def source() -> Any:
    """What writes the dashboards; the SDK that it needs is in an extra of its own."""
    pytest.importorskip("grafana_foundation_sdk.builders", reason="no foundation SDK: `make grafana` installs it")
    from tools.dashboards import __main__

    return __main__


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_dashboard_is_what_its_source_makes(name: str, source: Any) -> None:
    written = source.written()[f"{name}.json"]
    assert (DASHBOARDS / f"{name}.json").read_text() == written, "run `make grafana WRITE=1`"


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_goes_through_grafanas_own_schema_unchanged(name: str, source: Any) -> None:
    text = (DASHBOARDS / f"{name}.json").read_text()
    assert source.through(text).splitlines() == text.splitlines()
    assert json.loads(source.through(text.replace('"title"', '"tilte"'))) != json.loads(
        text
    )  # what it does not know is lost


def test_the_runbook_is_where_one_says(tmp_path: Path, source: Any) -> None:
    assert source.main(["--runbook", "https://wiki.example.com/runbook", "--output", str(tmp_path)]) == 0
    for name in NAMES:
        assert "https://wiki.example.com/runbook" in (tmp_path / f"{name}.json").read_text()


def test_refreshes_and_failures_are_marked_when_they_happened(recorded: Prometheus) -> None:
    marks = {each["name"]: each["expr"] for each in document("pod")["annotations"]["list"] if "expr" in each}
    seen = {}
    for name, expr in marks.items():
        (found,) = recorded.over(filled(expr, "throttled"), EPOCH + 60, EPOCH + LENGTH, 60)
        seen[name] = {round((at - EPOCH) / 60) for at, _ in found.values}
    assert seen["Refreshed"] & set(range(24, 30))
    assert seen["Refreshed"] & set(range(75, 78))
    assert min(seen["Refresh failed"]) in range(50, 54)
    assert max(seen["Refresh failed"]) in range(74, 78)
    assert not seen["Refreshed"] & set(range(58, 75))


def test_the_variables_of_the_dashboards_have_values(recorded: Prometheus) -> None:
    for name in NAMES:
        for _, selector, label in variables(name):
            assert {sample.labels[label] for sample in recorded.at(filled(selector, "outage"), EPOCH + 6000)}


def test_the_figures_are_those_of_the_lives(recorded: Prometheus) -> None:
    for name, text in figures.drawn(recorded):
        committed = (figures.FIGURES / name).read_text()
        assert words(committed) == words(text), f"{name}: run `make grafana WRITE=1`"


def words(svg: str) -> list[str]:
    """What a figure says, without its numbers."""
    return re.sub(r"-?[\d.]+", "", " ".join(re.findall(r"<(?:text|title)[^>]*>([^<]*)<", svg))).split()


def test_prometheus_takes_the_scrape_configuration(tmp_path: Path) -> None:
    text = (ROOT / "grafana" / "provisioning" / "scrape.yaml").read_text()
    # Debian builds Prometheus without the discovery of Kubernetes' pods; the rest is looked at.
    static = text.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: ['127.0.0.1:9912']}]")
    assert static != text
    (tmp_path / "scrape.yaml").write_text(static)
    tool("promtool", "check", "config", tmp_path / "scrape.yaml")
