"""The runbook has a section for everything that is shown, and every place that the code names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.doctor import runbook
from sidecar.doctor.findings import CODES, SKIPPED
from sidecar.errors import ConfigError
from sidecar.remedies import anchor, known, page
from tests.process import ROOT

TEXT = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = runbook.sections(TEXT)
# Alerts have a region and a form of their own.
OURS = runbook.sections(TEXT.partition("<!-- alerts -->")[0])


def test_every_code_has_its_section_and_every_section_a_code() -> None:
    assert set(OURS) == {*CODES, SKIPPED}


@pytest.mark.parametrize("code", OURS)
def test_a_section_has_four_parts_in_order(code: str) -> None:
    parts = re.findall(r"^- \*\*(.+?)\*\*", OURS[code], re.MULTILINE)
    assert parts == ["You see", "It is", "To be sure", "To do"]


@pytest.mark.parametrize("position", [1, 2])
def test_every_code_of_a_hop_leads_to_a_section_that_quotes_our_sentence_or_names_it(position: int) -> None:
    for code in known(position):
        assert page(code, position).rpartition("#")[2] in OURS
        assert code in OURS[anchor(code, position)]


def test_every_anchor_that_is_named_in_the_code_resolves() -> None:
    named = {
        (str(path.relative_to(ROOT)), found)
        for folder in ("sidecar", "grafana", "deploy", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".json", ".txt", ".js", ".jsonnet")
        for found in re.findall(r"runbook\.md#([a-z0-9-]+)", path.read_text("utf-8"))
    }
    assert {each for each in named if each[1] not in SECTIONS} == set()


@pytest.mark.parametrize("code", [*SECTIONS])
def test_explain_prints_the_section(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--explain", code]) == 0
    assert capsys.readouterr().out == SECTIONS[code]


def test_explain_takes_what_a_log_line_has_and_says_what_is_near() -> None:
    assert runbook.explain("docs/runbook.md#timeout") == runbook.explain("Timeout") == SECTIONS["timeout"]
    with pytest.raises(ConfigError, match="Did you mean port-taken"):
        runbook.explain("port-token")


def test_the_page_is_packaged_with_the_program() -> None:
    """By the build's own word, the image's context, and the image's recipe."""
    assert '"docs/runbook.md" = "sidecar/doctor/runbook.md"' in (ROOT / "pyproject.toml").read_text()
    assert "!docs/runbook.md\n" in (ROOT / ".dockerignore").read_text()
    assert "COPY docs/runbook.md docs/\n" in (ROOT / "Dockerfile").read_text()


def test_the_page_of_an_installed_package_comes_first(tmp_path: Path) -> None:
    here = tmp_path / "runbook.md"
    here.write_text("### One\n\nhere\n")
    assert runbook.explain("one", [tmp_path / "nowhere.md", here]) == "### One\n\nhere\n"
