"""The alerts in the lives of some injectors, by Prometheus' own tool; and a dashboard that asks for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import CASES, CHART, golden, parsed
from tests.deploy.specs import ROOT

pytestmark = pytest.mark.deploy

LIVES = Path(__file__).parent / "helm" / "alerts.yaml"
RUNBOOK = ROOT / "docs" / "runbook-alerts.md"
# What Grafana puts in place of its variable.
INTERVAL = "5m"


def groups(case: str) -> list[dict[str, Any]]:
    """The groups of the rules of that case."""
    (rule,) = (
        each for each in parsed(golden(CASES[0].with_stem(case)).read_text()) if each["kind"] == "PrometheusRule"
    )
    return list(rule["spec"]["groups"])


# With the links that they have where nobody says where the runbook is.
ALERTS = groups("everything")[0]["rules"]


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What it says of files; skips where there is none."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt install prometheus")
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


def written(found: list[dict[str, Any]], folder: Path) -> Path:
    """A file of rules with these groups, as Prometheus reads it."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": found}))
    return path


def bare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups without annotations."""
    for rule in found[0]["rules"]:
        del rule["annotations"]
    return found


@pytest.mark.parametrize("case", ["everything", "selectors"])
def test_prometheus_reads_the_rules_and_their_sentences(case: str, tmp_path: Path) -> None:
    done = promtool("check", "rules", written(groups(case), tmp_path))
    assert (done.returncode, "4 rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_alerts_fire_when_they_should_and_at_no_other_time(tmp_path: Path) -> None:
    written(bare(groups("everything")), tmp_path)
    shutil.copy(LIVES, tmp_path)
    done = promtool("test", "rules", tmp_path / LIVES.name)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize("number", range(4))
def test_an_alert_that_never_fires_is_noticed(number: int, tmp_path: Path) -> None:
    found = bare(groups("everything"))
    found[0]["rules"][number]["expr"] = "vector(1) > 2"
    written(found, tmp_path)
    shutil.copy(LIVES, tmp_path)
    done = promtool("test", "rules", tmp_path / LIVES.name)
    assert (done.returncode, found[0]["rules"][number]["alert"] in done.stderr) == (1, True), done.stderr


def test_the_certificates_alert_leaves_half_of_the_time_for_renewal() -> None:
    for case, hours in (("everything", 720), ("selectors", 24)):
        (expr,) = (each["expr"] for each in groups(case)[0]["rules"] if each["alert"].endswith("CertificateExpires"))
        assert expr.endswith(f" < {hours * 3600 // 2}")


def test_what_is_said_of_pods_is_what_the_failure_policy_does() -> None:
    said = {case: groups(case)[0]["rules"][0]["annotations"]["description"] for case in ("everything", "selectors")}
    assert "pods that want the sidecar are not created; those that run" in said["everything"]
    assert "pods that want the sidecar are created without it; those that run" in said["selectors"]


@pytest.mark.parametrize(
    ("case", "page"),
    [("everything", "docs/runbook-alerts.md"), ("selectors", "https://wiki.example.com/runbook-alerts")],
)
def test_an_alert_leads_to_its_section_where_one_says(case: str, page: str) -> None:
    for alert in groups(case)[0]["rules"]:
        assert alert["annotations"]["runbook_url"] == f"{page}#{alert['alert'].lower()}"
        assert f"\n### {alert['alert']}\n" in RUNBOOK.read_text()


def test_the_runbook_quotes_the_alert() -> None:
    for alert in ALERTS:
        section = RUNBOOK.read_text().split(f"\n### {alert['alert']}\n")[1]
        assert section.startswith(f"\n**What you see.** *{alert['annotations']['summary']}.*")


def test_the_commands_of_the_runbook_are_about_what_the_chart_makes() -> None:
    found = parsed(golden(CASES[0].with_stem("everything")).read_text())
    made = {(each["kind"].lower(), each["metadata"]["name"]) for each in found}
    text = RUNBOOK.read_text().split("\n## The injector\n")[1]
    kinds = "deployment|podmonitor|certificate|mutatingwebhookconfiguration"
    named = set(re.findall(rf"\b({kinds})[ /](credential-sidecar[a-z-]*)", text))
    named |= {("service", name) for name in re.findall(r"kubernetes\.io/service-name=([a-z-]+)", text)}
    assert {kind for kind, _ in named} == {*kinds.split("|"), "service"}
    assert named <= made
    (deployment,) = (each for each in found if each["kind"] == "Deployment")
    for selector in re.findall(r" -l (app\.\S+)", text):
        label = dict([selector.split("=")])
        assert label.items() <= deployment["metadata"]["labels"].items()
        assert label.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def dashboard() -> dict[str, Any]:
    """The one in the ConfigMap."""
    (found,) = (
        each for each in parsed(golden(CASES[0].with_stem("everything")).read_text()) if each["kind"] == "ConfigMap"
    )
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = found["data"].values()
    return dict(json.loads(text))


def queries() -> Iterator[str]:
    """What the dashboard asks."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_the_dashboard_is_the_file_and_its_panels_are_side_by_side() -> None:
    assert dashboard() == json.loads((CHART / "dashboards" / "injector.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24  # Grafana's columns
        taken |= cells
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))


def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": each.replace("$__rate_interval", INTERVAL)}
        for number, each in enumerate(queries())
    ]
    assert "$" not in json.dumps(rules)
    done = promtool("check", "rules", written([{"name": "dashboard", "rules": rules}], tmp_path))
    assert (done.returncode, f"{len(rules)} rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_dashboard_and_the_alerts_know_the_same_metrics() -> None:
    pattern = r"\bcredential_sidecar_\w+"
    alerts = {name for rule in groups("everything")[0]["rules"] for name in re.findall(pattern, rule["expr"])}
    assert alerts < {name for query in queries() for name in re.findall(pattern, query)}
