"""The runbook has a section for everything that is shown, and every place that the code names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar import events as e
from sidecar.cli import main
from sidecar.doctor import runbook
from sidecar.doctor.findings import CODES, SKIPPED
from sidecar.errors import ConfigError
from sidecar.metrics import OTHER
from sidecar.remedies import PAGE, anchor, known, page
from tests.deploy.test_helm_alerts import ALERTS as INJECTORS
from tests.grafana.test_files import ALERTS as SIDECARS
from tests.process import ROOT
from tests.test_events import SAMPLES

DOCS = ROOT / "docs"
# By page, and all of them.
CODED, ALERTED = (runbook.sections((DOCS / name).read_text("utf-8")) for name in runbook.PAGES)
SECTIONS = CODED | ALERTED
ALERTS = [*SIDECARS, *INJECTORS]
# Where each event leads that leads anywhere.
LINKS = {link.removeprefix(f"{PAGE}#") for link in (event.runbook for event in SAMPLES) if link}


def test_every_code_and_every_event_has_its_section_and_every_section_one_of_them() -> None:
    assert set(CODED) == {*CODES, SKIPPED, *LINKS}


def test_every_alert_has_its_section_and_no_name_is_on_both_pages() -> None:
    assert set(ALERTED) == {alert["alert"].lower() for alert in ALERTS}
    assert not CODED.keys() & ALERTED.keys()


def test_what_is_loud_leads_to_a_section_and_what_tells_of_nothing_wrong_to_none() -> None:
    for event in SAMPLES:
        # A failure that repeats itself is quiet, and as wrong.
        if e.level(event) in ("warning", "error") or isinstance(event, e.HopFailed):
            assert f"{event.runbook}".removeprefix(f"{PAGE}#") in CODED, event
        else:
            assert event.runbook is None, event


@pytest.mark.parametrize("code", CODED)
def test_a_section_has_four_parts_in_order(code: str) -> None:
    parts = re.findall(r"^- \*\*(.+?)\*\*", CODED[code], re.MULTILINE)
    assert parts == ["You see", "It is", "To be sure", "To do"]


@pytest.mark.parametrize("alert", ALERTED)
def test_so_has_one_of_an_alert(alert: str) -> None:
    parts = re.findall(r"^\*\*(.+?)\.\*\*", ALERTED[alert], re.MULTILINE)
    assert parts == ["What you see", "What it is", "How to be sure", "What to do"]


def test_what_the_section_of_denials_quotes_is_what_is_said() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "sidecar").rglob("*.py"))
    cells = re.findall(r"^\| ([^|]+) \|", ALERTED["credentialsidecarinjectordenies"], re.MULTILINE)
    quoted = [each for cell in cells for each in re.findall('"(.+?)"', cell)]
    assert len(quoted) >= 8
    assert [each for each in quoted if each not in source] == []


@pytest.mark.parametrize("position", [1, 2])
def test_every_code_of_a_hop_leads_to_a_section_that_quotes_our_sentence_or_names_it(position: int) -> None:
    for code in known(position):
        assert page(code, position).rpartition("#")[2] in CODED
        assert code in CODED[anchor(code, position)]


def test_every_anchor_that_is_named_in_the_code_resolves() -> None:
    named = {
        (str(path.relative_to(ROOT)), *found)
        for folder in ("sidecar", "grafana", "deploy", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".json", ".txt", ".js", ".jsonnet")
        for found in re.findall(r"(runbook(?:-alerts)?\.md)#([a-z0-9-]+)", path.read_text("utf-8"))
    }
    there = {"runbook.md": CODED, "runbook-alerts.md": ALERTED}
    assert {each for each in named if each[2] not in there[each[1]]} == set()


@pytest.mark.parametrize("name", [*SECTIONS])
def test_explain_prints_the_section(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--explain", name]) == 0
    assert capfd.readouterr().out == SECTIONS[name]


def test_explain_takes_what_log_alert_and_heading_have_in_any_case() -> None:
    assert runbook.explain("docs/runbook.md#timeout") == runbook.explain("Timeout") == SECTIONS["timeout"]
    assert runbook.explain("AccessDenied on hop 1") == SECTIONS["accessdenied-on-hop-1"]
    assert runbook.explain("HANDLERFAILED").startswith("### HandlerFailed\n")
    for alert in ALERTS:
        section = runbook.explain(alert["alert"])
        assert section.startswith(f"### {alert['alert']}\n")
        assert runbook.explain(alert["annotations"]["runbook_url"]) == section


def test_explain_takes_a_code_as_metrics_and_status_have_it_without_its_hop() -> None:
    assert runbook.explain("AccessDenied") == "\n".join(
        SECTIONS[anchor("AccessDenied", position)] for position in (1, 2)
    )
    assert runbook.explain(OTHER) == SECTIONS["any-other-code"]


@pytest.mark.parametrize(
    ("slip", "near"),
    [("port-token", "port-taken"), ("CredentialExpired", "credentialsexpired"), ("StateIgnore", "stateignored")],
)
def test_explain_says_what_is_near(slip: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean {near}"):
        runbook.explain(slip)
    assert main(["doctor", "--explain", slip]) == 2
    assert near in capsys.readouterr().err


@pytest.mark.parametrize("event", ["HopFailed", "TokenFailed", "Skewed", "PhaseChanged", "Started"])
def test_explain_of_an_event_that_has_no_section_says_where_its_lines_name_one(event: str) -> None:
    with pytest.raises(ConfigError, match="the log and in /status names its section as `runbook`"):
        runbook.explain(event)


def test_explain_lists_all_where_nothing_is_near() -> None:
    with pytest.raises(ConfigError) as caught:
        runbook.explain("0")
    assert ", ".join(sorted(SECTIONS)) in str(caught.value)


@pytest.mark.parametrize("name", runbook.PAGES)
def test_the_pages_are_packaged_with_the_program(name: str) -> None:
    """By the build's own word, the image's context, and the image's recipe."""
    assert f'"docs/{name}" = "sidecar/doctor/{name}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"!docs/{name}\n" in (ROOT / ".dockerignore").read_text()
    assert re.search(rf"^COPY .*\bdocs/{name} .*\bdocs/$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_pages_of_an_installed_package_come_first(tmp_path: Path) -> None:
    packaged = tmp_path / "runbook.md"
    places = [tmp_path / "nowhere", tmp_path, DOCS]
    assert runbook.explain("HopDenied", places) == runbook.explain("HopDenied", [DOCS]) == SECTIONS["hopdenied"]
    packaged.write_text("## Group\n\n### Timeout\n\npackaged\n")
    assert runbook.explain("timeout", places) == "### Timeout\n\npackaged\n"
    assert runbook.explain("HopDenied", places) == SECTIONS["hopdenied"]
