"""What can be said of the files of grafana/ without any of the tools that they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.contract import Refusal
from sidecar.kube import metrics as webhook
from sidecar.metrics import DEFINITIONS, OTHER, PREFIX, STATUSES
from sidecar.model import Kind, Phase
from sidecar.remedies import known
from tests.deploy.test_helm_alerts import ALERTS as INJECTORS
from tests.grafana import figures
from tests.grafana.drawing import colors
from tests.grafana.panels import NAMES, document, panels, variables
from tests.house import ROOT
from tools import alerts

RULES = yaml.safe_load(alerts.rules())["groups"]
ALERTS = [rule for group in RULES for rule in group["rules"] if "alert" in rule]
RECORDS = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
# What scraping adds, and what histograms have.
LABELS = {"cluster", "namespace", "pod", "job", "instance", "le"}
# Not ours: Prometheus' own and kube-state-metrics'.
FOREIGN = {"up", "kube_pod_init_container_info", "kube_pod_container_info", "kube_pod_status_phase"}
_NAME = re.compile(rf"\b{PREFIX[:-1]}[:_][\w:]*")
_SELECTOR = re.compile(rf"\b({PREFIX}\w+)(?:{{([^{{}}]*)}})?")
_MATCHER = re.compile(r"(\w+)(=~|!~|!=|=)")


def series() -> dict[str, set[str]]:
    """The labels of every series that a scrape has, by its name."""
    found = {}
    for each in (*DEFINITIONS, *webhook.DEFINITIONS):
        ends = ("_bucket", "_sum", "_count") if each.kind == "histogram" else ("",)
        found.update({PREFIX + each.name + end: set(each.labels) for end in ends})
    return found


def expressions() -> Iterator[str]:
    """Everything that Prometheus is asked, with the queries in sentences and the names in variables."""
    for rule in (rule for group in RULES for rule in group["rules"]):
        yield rule["expr"]
        yield from rule.get("annotations", {}).values()
    for name in NAMES:
        yield from _texts(document(name))
    yield from documented()


def documented() -> Iterator[str]:
    """What the pages have people ask, a query a line or between two words."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text("utf-8")
        for block in re.findall(r"^ *```promql\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
            yield from block.split("\n")[:-1]
        yield from re.findall(rf"`([^`\n]*\([^`\n]*\b{PREFIX}[^`\n]*)`", text)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts(each)


def strangers(known_series: dict[str, set[str]]) -> set[str]:
    """Names that are asked for and that nothing has, with labels that they do not have."""
    asked = {name for text in expressions() for name in _NAME.findall(text)}
    found = asked - known_series.keys() - RECORDS
    for text in expressions():
        for name, matchers in _SELECTOR.findall(text):
            labels = {label for label, _ in _MATCHER.findall(matchers or "")}
            found |= {f"{name}: {label}" for label in labels - known_series.get(name, labels) - LABELS}
    return found


def test_everything_that_is_asked_for_exists() -> None:
    assert strangers(series()) == set()


@pytest.mark.parametrize("name", [each.name for each in DEFINITIONS])
def test_a_metric_that_is_renamed_is_noticed(name: str) -> None:
    renamed = {each: labels for each, labels in series().items() if not each.startswith(PREFIX + name)}
    assert any(each.startswith(PREFIX + name) for each in strangers(renamed))


@pytest.mark.parametrize(
    "label", sorted({label for each in DEFINITIONS for label in each.labels} - {"version", "status"})
)
def test_a_label_that_is_renamed_is_noticed(label: str) -> None:
    renamed = {name: labels - {label} for name, labels in series().items()}
    uses = {
        label
        for text in expressions()
        for _, matchers in _SELECTOR.findall(text)
        for label, _ in _MATCHER.findall(matchers)
    }
    assert bool(strangers(renamed)) is (label in uses)


def test_no_other_names_are_asked_for_than_ours_and_those_of_kube_state_metrics() -> None:
    asked = {name for rule in ALERTS for name in re.findall(r"\b(kube_\w+|up)\b(?=\{)", rule["expr"])}
    assert asked == FOREIGN


def test_the_values_of_labels_that_are_chosen_are_those_of_the_code() -> None:
    texts = " ".join(rule["expr"] for group in RULES for rule in group["rules"])
    codes = {code for values in re.findall(r'code=~?"([^"]+)"', texts) for code in values.split("|")}
    assert codes <= {*known(1), *known(2), OTHER}
    phases = {
        phase for values in re.findall(r'(?<!status_)phase\{phase=~?"([^"]+)"', texts) for phase in values.split("|")
    }
    assert phases <= {*Phase, "Running"}
    assert set(re.findall(r'outcome="([^"]+)"', texts)) <= {*Kind}


def test_the_custom_resource_is_up_to_date_and_has_the_same_rules() -> None:
    text = (alerts.ALERTS / alerts.RESOURCE).read_text()
    assert text == alerts.resource(), "run `make docs`"
    assert yaml.safe_load(text)["spec"]["groups"] == RULES


@pytest.mark.parametrize(
    "alert", [*ALERTS, *INJECTORS], ids=lambda each: f"{each['alert']}-{each['labels']['severity']}"
)
def test_an_alert_has_all_that_somebody_needs_who_is_called(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+(s|m|h)", alert["for"])
    said = alert["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["description"].rstrip().endswith((".", ".{{ end }}{{ end }}"))
    page, _, anchor = said["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/runbook-alerts.md", alert["alert"].lower())
    assert f"\n### {alert['alert']}\n" in (ROOT / page).read_text()


def test_the_runbook_has_a_section_for_each_alert_that_says_what_to_do() -> None:
    sections = re.split(r"^### ", (ROOT / alerts.RUNBOOK).read_text(), flags=re.MULTILINE)[1:]
    assert {each.partition("\n")[0] for each in sections} == {each["alert"] for each in (*ALERTS, *INJECTORS)}
    for section in sections:
        assert re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE) == [
            *("What you see.", "What it is.", "How to be sure.", "What to do.")
        ]


def named_in_rows(alert: str) -> set[str]:
    """What the first cells of the table in an alert's section name."""
    section = (ROOT / alerts.RUNBOOK).read_text().split(f"\n### {alert}\n")[1].partition("\n### ")[0]
    return set(re.findall(r"`(\w+)", " ".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))))


def test_the_runbook_has_a_row_for_everything_that_an_alert_can_name() -> None:
    (denied,) = (each["expr"] for each in ALERTS if each["alert"] == "HopDenied")
    assert named_in_rows("HopDenied") == {*re.findall(r'code=~"([^"]+)"', denied)[0].split("|")}
    assert named_in_rows("HopDenied") | named_in_rows("CredentialsExpireSoon") == {*known(1), *known(2), OTHER}
    assert named_in_rows("RequestsRefused") == {*Refusal}


def test_what_the_fleet_shows_over_time_is_recorded() -> None:
    over_time = [each for each in panels() if each.dashboard == "fleet" and each.kind not in {"stat", "table"}]
    asked = {each.title: " ".join(expr for expr, _ in each.queries.values()) for each in over_time}
    assert len(asked) > 10
    assert {title: _SELECTOR.findall(expr) for title, expr in asked.items() if _SELECTOR.search(expr)} == {}


def test_variables_that_have_no_pods_are_read_from_what_is_recorded() -> None:
    raw = {variable for name in NAMES for variable, selector, _ in variables(name) if _SELECTOR.search(selector)}
    assert raw == {"pod"}


def test_a_sentence_of_an_alert_looks_at_the_namespace_that_it_is_about() -> None:
    said = " ".join(rule["annotations"]["description"] for rule in ALERTS)
    selectors = [matchers for _, matchers in _SELECTOR.findall(re.sub(r"%(\[\d\])?q", '""', said))]
    assert len(selectors) > 5
    assert [
        each for each in selectors if {"cluster", "namespace"} - {label for label, _ in _MATCHER.findall(each)}
    ] == []


def test_the_page_lists_every_alert_with_what_the_rules_say() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(([^)]+)\) \| ([^|]+) \|", figures.PAGE.read_text(), re.MULTILINE)
    said = {
        name: ", ".join(sorted(each["labels"]["severity"] for each in ALERTS if each["alert"] == name))
        for name, *_ in rows
    }
    assert said.keys() == {each["alert"] for each in ALERTS}
    assert {name: severity for name, _, severity in rows} == said
    assert all(link == f"runbook-alerts.md#{name.lower()}" for name, link, _ in rows)


def test_links_of_alerts_lead_where_one_says(tmp_path: Path) -> None:
    base = "https://wiki.example.com/runbook"
    assert alerts.main(["--runbook", base, "--output", str(tmp_path)]) == 0
    groups = yaml.safe_load((tmp_path / alerts.RULES).read_text())["groups"]
    assert yaml.safe_load((tmp_path / alerts.RESOURCE).read_text())["spec"]["groups"] == groups
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert links == [f"{base}#{each['alert'].lower()}" for each in ALERTS]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_in_which_unit_and_what_if_there_is_nothing(name: str) -> None:
    shown = [each for each in document(name)["panels"] if each["type"] != "row"]
    assert [each["title"] for each in shown if not each["description"].endswith(".")] == []
    assert len({each["title"] for each in shown}) == len(shown)
    for each in panels():
        defaults = each.shown["fieldConfig"]["defaults"]
        assert defaults["unit"]
        assert defaults["noValue"]
        assert defaults["thresholds"]["steps"]


def test_a_phase_an_outcome_and_a_status_have_one_colour_and_only_what_is_well_is_green() -> None:
    found: dict[str, set[str]] = {}
    for each in panels():
        for name, color in colors(each).items():
            found.setdefault(name, set()).add(color)
    assert {name for name, colors in found.items() if "green" in colors} == {"fresh", "success", "200"}
    assert found.keys() == {*Phase, "success", *Kind, *map(str, STATUSES)}
    assert {len(colors) for colors in found.values()} == {1}


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_on_another(name: str) -> None:
    places = [each["gridPos"] for each in document(name)["panels"]]
    assert len({each["id"] for each in document(name)["panels"]}) == len(places)
    for a, b in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{a} {b}"
    assert max(each["x"] + each["w"] for each in places) <= 24


def test_the_dashboards_lead_to_each_other_to_the_runbook_and_to_the_status_page() -> None:
    uids = {f"/d/{document(name)['uid']}" for name in NAMES}
    for name in NAMES:
        assert {each["url"] for each in document(name)["links"]} == {*uids, alerts.RUNBOOK}
        variables = {each["name"] for each in document(name)["templating"]["list"]}
        assert variables >= {"datasource", "cluster", "namespace", "workload", "target"}
    assert "http://127.0.0.1:9912/" in " ".join(_texts(document("pod")))
    links = {
        link["url"].partition("?")[0]
        for each in panels()
        for link in each.shown["fieldConfig"]["defaults"].get("links", ())
    }
    assert links == {"/d/credential-sidecar-pod"}


def test_the_page_shows_every_panel_and_no_figure_is_left_over() -> None:
    assert figures.PAGE.read_text() == figures.page(), "run `make grafana WRITE=1`"
    assert {each.name for each in figures.FIGURES.iterdir()} == {figures.name(each) for each in panels()}
