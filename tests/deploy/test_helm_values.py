"""The chart's values: each is in the README with its default, and what is none of them is refused with words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.kube.annotations import ANNOTATIONS
from tests.deploy import charts
from tests.deploy.charts import CASES, CHART
from tests.deploy.specs import ROOT
from tests.test_docs import rows

# The first test builds Helm.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PAGE = str((CHART / "README.md").relative_to(ROOT))
TABLE = {name.strip("`"): default.strip("`") for name, default, _ in rows(PAGE, "Values")}
SECRET = CASES[0].with_stem("secret")


def leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each value by its path; one that is documented as a whole is not taken apart."""
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value and path not in TABLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def test_the_readme_has_every_value_and_its_default_in_the_order_of_the_file() -> None:
    assert list(TABLE) == [path for path, _ in leaves(VALUES)]
    assert {path: yaml.safe_load(default) for path, default in TABLE.items()} == dict(leaves(VALUES))


def strict(schema: Any) -> Iterator[Any]:
    """Every part of a schema that says what properties an object has."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" in schema:
            yield schema
        for part in schema.values():
            yield from strict(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from strict(part)


def test_the_schema_knows_the_values_and_nothing_else() -> None:
    assert SCHEMA["properties"].keys() - VALUES.keys() == {"global"}
    for name, value in VALUES.items():
        found = SCHEMA["properties"][name]
        if "required" in found:
            assert found["required"] == list(value)
            assert found["properties"].keys() == value.keys()
    assert SCHEMA["required"] == list(VALUES)
    assert {each["additionalProperties"] for each in strict(SCHEMA)} == {False}


def test_the_defaults_of_the_schema_are_the_annotations() -> None:
    assert SCHEMA["properties"]["injection"]["properties"]["defaults"]["properties"].keys() == ANNOTATIONS.keys()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("replica=3", "at '': additional properties 'replica' not allowed"),
        ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("image.tag=1", "at '/image/tag': got number, want string"),
        ("image.repository=x:1.0", "at '/image/repository': 'x:1.0' does not match pattern"),
        ("image.repository=", "at '/image/repository': '' does not match pattern"),
        ("image.digest=sha256:abc", "at '/image/digest': 'sha256:abc' does not match pattern"),
        ("image.pullPolicy=always", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("image.pullSecrets={registry}", "at '/image/pullSecrets/0': got string, want object"),
        ("injection.defaults.regoin=x", "at '/injection/defaults': additional properties 'regoin' not allowed"),
        ("injection.defaults.inject=true", "at '/injection/defaults': additional properties 'inject' not allowed"),
        ("injection.defaults.resources.limits=x", "at '/injection/defaults/resources': got object"),
        ("webhook.failurePolicy=fail", "at '/webhook/failurePolicy': value must be one of 'Fail', 'Ignore'"),
        ("webhook.exemptNamespaces={A}", "at '/webhook/exemptNamespaces/0': 'A' does not match pattern"),
        (
            "webhook.namespaceSelector.stage=x",
            "at '/webhook/namespaceSelector': additional properties 'stage' not allowed",
        ),
        ("webhook.objectSelector.matchExpressions[0].key=x", "missing property 'operator'"),
        (
            "webhook.objectSelector.matchExpressions[0].key=x,webhook.objectSelector.matchExpressions[0].operator=In",
            "at '/webhook/objectSelector/matchExpressions/0': missing property 'values'",
        ),
        ("certificates.mode=manual", "at '/certificates/mode': value must be one of 'certManager', 'secret'"),
        ("certificates.duration=90d", "at '/certificates/duration': '90d' does not match pattern"),
        ("certificates.issuerRef.kind=ClusterIssuer", "properties 'name' required, if 'kind' exists"),
        ("certificates.caBundle=LS0tLS1C", "at '/certificates/caBundle': 'LS0tLS1C' does not match pattern"),
        (
            "certificates.mode=secret",
            "certificates.mode is secret: say certificates.secretName, a Secret with tls.crt and",
        ),
        (
            "certificates.mode=secret,certificates.secretName=x",
            "who signed it (--set-file certificates.caBundle=ca.crt)",
        ),
        ("logLevel=trace", "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
        ("resources.limits.memory=128MB", "at '/resources/limits/memory': '128MB' does not match pattern"),
        ("resources.limit.memory=128Mi", "at '/resources': additional properties 'limit' not allowed"),
        ("tolerations[0].efect=NoSchedule", "at '/tolerations/0': additional properties 'efect' not allowed"),
        (r"labels.app\.kubernetes\.io/name=x", "at '/labels/app.kubernetes.io~1name': false schema"),
        (r"podLabels.app\.kubernetes\.io/component=x", "at '/podLabels/app.kubernetes.io~1component': false schema"),
        ("podLabels.version=1", "at '/podLabels/version': got number, want string"),
        ("networkPolicy.monitoring=null", "at '/networkPolicy': missing property 'monitoring'"),
        ("networkPolicy.monitoring=", "at '/networkPolicy/monitoring': got string, want array"),
        ("networkPolicy.enabled=yes", "at '/networkPolicy/enabled': got string, want boolean"),
        ("podMonitor.interval=30", "at '/podMonitor/interval': got number, want string"),
        ("prometheusRule.runbook=", "at '/prometheusRule/runbook': '' does not match pattern"),
        ("prometheusRule.runbook=x.md#y", "at '/prometheusRule/runbook': 'x.md#y' does not match pattern"),
        ("dashboard.labels=null", "at '/dashboard': missing property 'labels'"),
    ],
    ids=lambda value: value if "=" in value else "",
)
def test_a_wrong_value_is_refused_with_its_place(said: str, complaint: str, helm: Path) -> None:
    done = charts.template(helm, "--set", said)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr


def test_nobody_at_all_may_not_be_let_in_by_an_empty_list(helm: Path) -> None:
    done = charts.template(helm, "--set-json", "networkPolicy.monitoring=[]")
    assert "at '/networkPolicy/monitoring': minItems: got 0, want 1" in done.stderr


def test_a_number_is_told_to_the_injector_digit_by_digit(helm: Path, tmp_path: Path) -> None:
    """Helm reads it as a float."""
    path = tmp_path / "values.yaml"
    path.write_text("injection: {defaults: {external-id: 111122223333, run-as-user: 1000680000}}")
    text = charts.render(helm, "--values", path)
    assert re.findall('--set=[^"]+', text) == ["--set=external-id=111122223333", "--set=run-as-user=1000680000"]


def test_a_key_in_the_bundle_is_refused(helm: Path, tmp_path: Path) -> None:
    bundle = yaml.safe_load(SECRET.read_text())["certificates"]["caBundle"]
    path = tmp_path / "ca.crt"
    words = ("--values", SECRET, "--set-file", f"certificates.caBundle={path}")
    for text, code in ((bundle, 0), (bundle + bundle.replace("CERTIFICATE", "PRIVATE KEY"), 1)):
        path.write_text(text)
        done = charts.template(helm, *words)
        assert (done.returncode, "at '/certificates/caBundle': 'not' failed" in done.stderr) == (code, bool(code))


def test_it_can_be_a_part_of_another_chart(helm: Path, tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / CHART.name).symlink_to(CHART)
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: platform, version: 1.0.0}\n")
    words = ("--set", "credential-sidecar.replicas=3", "--set", "global.region=eu-west-1")
    text = charts.render(helm, *words, chart=tmp_path)
    alone = charts.render(helm, "--set", "replicas=3")
    assert text.replace("platform/charts/", "") == alone
