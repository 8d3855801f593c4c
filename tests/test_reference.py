"""The pages that are written from the program are what the program says."""

from __future__ import annotations

import pytest

from sidecar.cli import COMMANDS
from sidecar.kube.metrics import DEFINITIONS as OF_THE_WEBHOOK
from sidecar.metrics import DEFINITIONS, Definition
from sidecar.settings import SETTINGS
from tools import events, metrics
from tools.reference import PAGE, page


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_the_reference_page_has_every_setting_and_command() -> None:
    text = PAGE.read_text()
    assert [setting.name for setting in SETTINGS if f"`{setting.name}`" not in text] == []
    assert [command.name for command in COMMANDS if f"### {command.name}\n" not in text] == []


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert metrics.PAGE.read_text() == metrics.page(), "run `make docs`"


def test_the_page_of_events_and_their_schema_are_up_to_date() -> None:
    assert events.PAGE.read_text() == events.page(), "run `make docs`"
    assert events.SCHEMA.read_text() == events.schema(), "run `make docs`"


@pytest.mark.parametrize(
    "each", {each.name: each for each in (*OF_THE_WEBHOOK, *DEFINITIONS)}.values(), ids=lambda each: each.name
)
def test_a_metric_has_a_unit_a_question_and_labels_with_known_values(each: Definition) -> None:
    assert metrics.unit(each.name) or each.name in ("build_info", "phase")
    assert metrics.QUESTIONS[each.name].endswith((".", "?"))
    assert {label for label in each.labels if not any(name.startswith(label) for name in metrics.VALUES)} == set()
