"""The alerts in the lives of pods, by Prometheus' own tool."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from tests.grafana.lives import LENGTH, MINUTE, PODS, SCRAPE, STORIES
from tests.grafana.test_files import documented
from tools.alerts import ALERTS, RULES

# The first who wants the lives waits until they are recorded.
pytestmark = [pytest.mark.grafana, pytest.mark.timeout(600)]

EXPECTED = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())
END = LENGTH // MINUTE
EVALUATIONS = 2  # a minute


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes: silent before `earliest`, fires from `latest` until `until`, silent after `over`."""

    earliest: int
    latest: int
    until: int = END
    over: int = END
    severity: str = ".+"

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """As alerts.yaml says it."""
        (earliest, latest), (until, over) = said["fires"], said.get("resolves", (END, END))
        return cls(earliest, latest, until, over, said.get("severity", ".+"))

    def asked(self, alert: str) -> Iterator[tuple[str, int, list[int]]]:
        """Query, minute and what must be answered."""
        firing = f'ALERTS{{alertname="{alert}",alertstate="firing",severity=~"{self.severity}"}}'
        yield f"count(count_over_time({firing}[{self.earliest}m]))", self.earliest, []
        held = (self.until - self.latest) * EVALUATIONS
        yield f"max(count_over_time({firing}[{self.until - self.latest}m])) >= bool {held}", self.until, [1]
        if self.over < END:
            yield f"count(count_over_time({firing}[{END - self.over}m]))", END, []


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What it says of files; skips where there is none."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt install prometheus")
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


def judged(name: str, lives: Path, rules: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """promtool on the rules in that life."""
    expected = EXPECTED[name]
    others = "|".join(["none", *expected])
    asked: list[tuple[str, int, list[int]]] = [
        (f'count(count_over_time(ALERTS{{alertname!~"{others}",alertstate="firing"}}[{END}m]))', END, [])
    ]
    asked += [each for alert, said in expected.items() for each in Window.of(said).asked(alert)]
    series = [each for pod in PODS for each in json.loads((lives / f"{name}.{pod}.json").read_text())]
    tests = [
        {"expr": q, "eval_time": f"{at}m", "exp_samples": [{"value": n} for n in wanted]} for q, at, wanted in asked
    ]
    life: dict[str, Any] = {"interval": f"{SCRAPE}s", "input_series": series, "promql_expr_test": tests}
    test = folder / "life.json"
    order = [group["name"] for group in yaml.safe_load(rules.read_text())["groups"]]
    suite = {"rule_files": [str(rules)], "evaluation_interval": "30s", "group_eval_order": order, "tests": [life]}
    test.write_text(json.dumps(suite))
    return promtool("test", "rules", test)


@pytest.mark.parametrize("name", STORIES)
def test_alerts_fire_in_time_resolve_and_are_silent_otherwise(name: str, lives: Path, tmp_path: Path) -> None:
    done = judged(name, lives, ALERTS / RULES, tmp_path)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr


def test_every_alert_has_a_life_or_a_test_of_its_own() -> None:
    rules = [rule for group in yaml.safe_load((ALERTS / RULES).read_text())["groups"] for rule in group["rules"]]
    alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in rules if "alert" in rule}
    tested = {alert for expected in EXPECTED.values() for alert in expected}
    assert {alert for alert, _ in alerts} - tested == {"SidecarNotScraped", "SidecarsAbsent"}
    texts = yaml.safe_load((ALERTS / "tests" / "texts.yaml").read_text())["tests"]
    told = [
        (said["alertname"], each["exp_labels"])
        for test in texts
        for said in test["alert_rule_test"]
        for each in said["exp_alerts"]
    ]
    assert {(alert, labels["severity"]) for alert, labels in told} == alerts


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected])
def test_an_alert_that_never_fires_is_noticed(name: str, lives: Path, tmp_path: Path) -> None:
    rules = yaml.safe_load((ALERTS / RULES).read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if rule.get("alert") in EXPECTED[name]:
            rule["expr"] = "vector(1) > 2"
    (tmp_path / RULES).write_text(yaml.safe_dump(rules))
    done = judged(name, lives, tmp_path / RULES, tmp_path)
    assert (done.returncode, "FAILED" in done.stderr + done.stdout) == (1, True)


@pytest.mark.parametrize("path", sorted((ALERTS / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_written_by_hand_holds(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr


# Conditions that keep an alert silent: what stands there, and what is left without it.
_UP = 'up{job=~"(.+/)?credential-sidecar"}'
_DENIED = 'increase(credential_sidecar_refreshes_total{outcome="denied"}[10m]) > 0'
_FAILS = "and on (cluster, namespace, pod, target) credential_sidecar_consecutive_failures > 0"
CONDITIONS = {
    "a pod waited for itself": (' and credential_sidecar_phase{phase="empty"} offset 5m == 1', ""),
    "a target is there": (f"{_UP} == 0\n              and max", "max"),
    "a target was there before": (f"\n              and {_UP} offset 5m == 0", ""),
    "a target was always down": (f"\n              and max_over_time({_UP}[5m]) == 0", ""),
    "a pod ran before": (' and kube_pod_status_phase{phase="Running"} offset 5m == 1', ""),
    "it is our job": (_UP, "up"),
    "it is not scraped": (" unless on (cluster, namespace, pod) credential_sidecar_build_info", ""),
    "STS denies": (f"{_DENIED}\n              {_FAILS}", "credential_sidecar_consecutive_failures > 0"),
    "it still fails": (f"\n              {_FAILS}", ""),
    "it is the same pod": ("and on (cluster, namespace, pod, target) (", "and on (cluster, namespace, target) ("),
    "it fails": ("\n            and credential_sidecar_consecutive_failures > 0", ""),
    "20 minutes of a long session": (" / 3, 1200)", " / 3, 120000)"),
    "a third of a short session": (" / 3, 1200)", " / 1, 1200)"),
    "there were credentials": (" - time() > 0)", " - time())"),
    "there were sidecars": ("last_over_time(credential_sidecar:pods:scraped[1d])", "vector(1)"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_that_is_lost_is_noticed(name: str, tmp_path: Path) -> None:
    text, (old, new) = (ALERTS / RULES).read_text(), CONDITIONS[name]
    assert old in text
    (tmp_path / RULES).write_text(text.replace(old, new))
    shutil.copytree(ALERTS / "tests", tmp_path / "tests")
    promtool_reads = promtool("check", "rules", tmp_path / RULES)
    assert promtool_reads.returncode == 0, promtool_reads.stderr
    (tmp_path / "tests" / "days.yaml").unlink()  # no condition is about days, which take promtool many seconds
    done = promtool("test", "rules", *sorted((tmp_path / "tests").glob("*.yaml")))
    assert (done.returncode, "FAILED" in done.stdout + done.stderr) == (1, True)


def test_prometheus_reads_the_rules_and_their_sentences() -> None:
    done = promtool("check", "rules", ALERTS / RULES)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr


def test_prometheus_reads_what_the_pages_have_people_ask(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": each} for number, each in enumerate(documented())]
    assert len(rules) > 10
    (tmp_path / RULES).write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / RULES)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr
