"""Every panel, in recorded lives, by a real Prometheus; and a live daemon that a real Prometheus scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.emulator import Emulator, Kubelet, guide_world
from sidecar.metrics import DEFINITIONS, PREFIX
from tests.grafana.lives import STORIES
from tests.grafana.panels import Panel, panels
from tests.grafana.prometheus import Prometheus, Sample, prometheus
from tests.harness import usual_settings
from tests.house import ROOT
from tests.process import sidecar

# The first who wants the lives waits until they are recorded.
pytestmark = [pytest.mark.grafana, pytest.mark.timeout(600)]

SAID = yaml.safe_load((ROOT / "grafana" / "panels.yaml").read_text())
PANELS = {(each.dashboard, each.title): each for each in panels()}
CASES = [
    pytest.param(PANELS.get((name, title)), each, id=f"{name}-{title}-{number}")
    for name, titles in SAID.items()
    for title, expected in titles.items()
    for number, each in enumerate(expected)
]


@pytest.mark.parametrize(("panel", "said"), CASES)
def test_a_panel_shows_what_happened(panel: Panel | None, said: Mapping[str, Any], recorded: Prometheus) -> None:
    assert panel is not None, "no panel of that name"
    assert said["life"] in STORIES
    found = panel.at(recorded, said.get("ask", "A"), said["life"], said["at"])
    found = [each for each in found if said.get("of", {}).items() <= each.labels.items()]
    assert _fits(found, said["is"]), f"{panel.asked(said.get('ask', 'A'), said['life'])}: {found}"


def _fits(found: list[Sample], expected: list[float] | str) -> bool:
    if expected == "nothing":
        return not found
    low, high = map(float, expected)
    return bool(found) and all(low <= each.values[0][1] <= high for each in found)


def test_every_query_of_every_panel_has_a_life_in_which_it_shows_something() -> None:
    shown = {
        (name, title, each.get("ask", "A"))
        for name, titles in SAID.items()
        for title, expected in titles.items()
        for each in expected
        if each["is"] != "nothing"
    }
    assert {(name, title, letter) for (name, title), each in PANELS.items() for letter in each.queries} == shown


async def test_a_live_daemon_that_prometheus_scrapes_has_every_metric(tmp_path: Path) -> None:
    async with Emulator(guide_world) as sts:
        kubelet = Kubelet(tmp_path / "projected", sts)
        kubelet.project()
        async with sidecar(usual_settings(tmp_path, sts.url, kubelet.path)) as running:
            await running.served()
            target = f"127.0.0.1:{running.port('status')}"
            names = await asyncio.to_thread(_scraped, tmp_path / "prometheus", target)
    assert names >= {"up", *_series()}


def _series() -> set[str]:
    """The names that a scrape has of what is defined."""
    kinds = {each.name: each.kind for each in DEFINITIONS}
    histograms = {
        PREFIX + name + end
        for name, kind in kinds.items()
        if kind == "histogram"
        for end in ("_bucket", "_sum", "_count")
    }
    return histograms | {PREFIX + name for name, kind in kinds.items() if kind != "histogram"}


def _scraped(home: Path, target: str) -> set[str]:
    """The names of all series of a Prometheus that has scraped `target` once."""
    job = {"job_name": "credential-sidecar", "static_configs": [{"targets": [target]}], "scrape_interval": "1s"}
    with prometheus(home, yaml.safe_dump({"scrape_configs": [job]})) as server:
        while not any(each.values[0][1] for each in server.now("up")):
            pass  # each look is a request that takes its time
        (active,) = server.get("targets")["activeTargets"]
        assert (active["health"], active["lastError"]) == ("up", "")
        return set(server.get("label/__name__/values"))
