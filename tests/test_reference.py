"""The reference page is what the program says."""

from __future__ import annotations

from sidecar.cli import COMMANDS
from sidecar.metrics import DEFINITIONS
from sidecar.settings import SETTINGS
from tools.reference import PAGE, page


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_the_reference_page_has_every_setting_command_and_metric() -> None:
    text = PAGE.read_text()
    names = [setting.name for setting in SETTINGS] + [each.name for each in DEFINITIONS]
    assert [name for name in names if f"`{name}`" not in text] == []
    assert [command.name for command in COMMANDS if f"### {command.name}\n" not in text] == []
