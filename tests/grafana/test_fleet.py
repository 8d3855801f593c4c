"""A fleet of many namespaces, two pods in each: no panel answers with a series for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grafana.fleet import CONFIG, FLAGS, load, record, shown
from tests.grafana.lives import PODS
from tests.grafana.prometheus import prometheus

# The first who wants the lives waits until they are recorded.
pytestmark = [pytest.mark.grafana, pytest.mark.timeout(600)]

NAMESPACES = 200
MOST = 50  # series of a panel: more are not told apart


@pytest.fixture(scope="module")
def answered(lives: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """How many series every question of the dashboard answers with."""
    with prometheus(tmp_path_factory.mktemp("fleet"), CONFIG, *FLAGS) as server:
        now = load(server, lives, NAMESPACES * len(PODS), len(PODS))
        recorded = {answer.question: answer.series for answer in record(server, now)}
        assert recorded["credential_sidecar:targets:all"] == NAMESPACES
        assert recorded["credential_sidecar:targets:failing"] > MOST  # so that a panel could show too many
        yield {answer.question: answer.series for answer in shown(server, now)}


def test_no_panel_of_the_fleet_shows_more_series_than_people_can_tell_apart(answered: dict[str, int]) -> None:
    panels = {question: series for question, series in answered.items() if not question.startswith("$")}
    assert len(panels) > 20
    assert {question: series for question, series in panels.items() if series > MOST} == {}


def test_a_variable_of_the_fleet_is_looked_up_in_a_series_for_each_namespace(answered: dict[str, int]) -> None:
    asked = {question: series for question, series in answered.items() if question.startswith("$")}
    assert asked == dict.fromkeys(["$cluster", "$namespace", "$target"], NAMESPACES)
