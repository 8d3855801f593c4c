"""The chart: what Helm makes of it is committed, is of Kubernetes' API, restricted, and keeps its names."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__
from tests.deploy import charts
from tests.deploy.charts import BASE, CASES, CHART, NAMESPACE, golden, parsed
from tests.deploy.specs import INJECTOR, RENDER, ROOT, Object
from tests.deploy.test_podsecurity import judged
from tests.deploy.test_schemas import newest_minors
from tests.deploy.tools import render as kustomized

# The first test builds Helm.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

NAME = "credential-sidecar-injector"
EVERYTHING, DEFAULTS = ("everything", "cert-manager")
EACH = pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.stem))
CRDS = {
    found["properties"]["kind"]["const"]: found
    for path in (Path(__file__).parent / "helm" / "crds").glob("*.json")
    for found in [json.loads(path.read_text())]
}
RENDERS = [*(golden(case) for case in CASES), BASE / "injector.yaml", INJECTOR / RENDER]
EACH_RENDER = pytest.mark.parametrize("path", RENDERS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def objects(name: str) -> list[Object]:
    """The objects of that case."""
    return parsed(golden(CASES[0].with_stem(name)).read_text())


def one(found: list[Object], kind: str, name: str = NAME) -> Any:
    """The object of that kind and name."""
    (each,) = (each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return each


def pod(found: list[Object]) -> Any:
    """What the injector's pods are made of."""
    return one(found, "Deployment")["spec"]["template"]


@pytest.fixture(scope="module")
def jsonschema() -> Any:
    """What compares with the schemas; nobody types it."""
    return pytest.importorskip("jsonschema", reason="`make deploy` installs it")


@EACH
def test_lint_has_nothing_to_say(case: Path, helm: Path) -> None:
    done = charts.asked(helm, "lint", "--strict", "--values", case, CHART)
    assert (done.returncode, re.findall(r"WARNING|ERROR", done.stdout + done.stderr)) == (0, []), done.stdout


@EACH
def test_the_render_is_the_one_that_is_committed(case: Path, helm: Path) -> None:
    assert golden(case).read_text() == charts.render(helm, "--values", case), "run `make deploy WRITE=1`"


@EACH_RENDER
def test_it_is_valid_strictly_in_the_six_newest_minors(path: Path, jsonschema: Any) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="`make deploy` installs it")
    newest = newest_minors(validator)
    for found in parsed(path.read_text()):
        if found["kind"] in CRDS:
            jsonschema.Draft7Validator(CRDS[found["kind"]]).validate(found)
        else:
            assert [validator.validate(found, version, strict=True) for version in newest] == newest


def test_every_kind_that_the_tests_carry_a_schema_of_is_made() -> None:
    assert CRDS.keys() <= {found["kind"] for found in objects(EVERYTHING)}


@pytest.mark.parametrize(
    ("kind", "place", "value", "said"),
    [
        ("Certificate", "spec/secretname", "x", "'secretname' was unexpected"),
        ("Certificate", "spec/duration", "90d", "'90d' does not match"),
        ("Certificate", "spec/privateKey/rotationPolicy", "always", "'always' is not one of"),
        ("Certificate", "spec/dnsNames", "x", "'x' is not of type 'array'"),
        ("Issuer", "spec/ca", {"secretName": "x"}, "too many properties"),
        ("PodMonitor", "spec/podMetricsEndpoints/0/port", 9912, "9912 is not of type 'string'"),
        ("PodMonitor", "spec/podMetricsEndpoints/0/relabellings", [], "'relabellings' was unexpected"),
        ("PrometheusRule", "spec/groups/0/rules/0/for", 300, "300 is not of type 'string'"),
        ("PrometheusRule", "metadata/labels/release", True, "True is not of type 'string'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_of_a_custom_resource_is_seen(
    kind: str, place: str, value: object, said: str, jsonschema: Any
) -> None:
    found = next(
        each for each in objects(EVERYTHING) if each["kind"] == kind and each["metadata"]["name"] != f"{NAME}-ca"
    )
    *way, last = (int(key) if key.isdigit() else key for key in place.split("/"))
    parent: Any = found
    for key in way:
        parent = parent[key]
    parent[last] = value
    with pytest.raises(jsonschema.ValidationError, match=re.escape(said)):
        jsonschema.Draft7Validator(CRDS[kind]).validate(found)


def test_every_pod_is_restricted(podsecurity: Path) -> None:
    code, said = judged(podsecurity, *RENDERS)
    assert sorted(said.splitlines()) == sorted(f"{path}: Deployment/{NAME} is restricted" for path in RENDERS)
    assert code == 0


def test_a_kubernetes_without_native_sidecars_is_refused(helm: Path) -> None:
    done = charts.template(helm, version="1.28.15")
    assert (done.returncode, "requires kubeVersion: >=1.29.0-0" in done.stderr) == (1, True), done.stderr
    assert charts.template(helm, version="1.29.0-eks-1-29").returncode == 0


def test_the_charts_versions_are_the_programs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def selectors(found: list[Object]) -> Iterator[Object]:
    """Everything that selects the injector's pods."""
    yield one(found, "Deployment")["spec"]["selector"]["matchLabels"]
    yield one(found, "Service")["spec"]["selector"]
    yield one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    yield one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    yield one(found, "PodMonitor")["spec"]["selector"]["matchLabels"]
    yield from (each["labelSelector"]["matchLabels"] for each in pod(found)["spec"]["topologySpreadConstraints"])


def test_whatever_selects_the_injectors_pods_selects_them_and_the_sidecars_not() -> None:
    found = objects(EVERYTHING)
    labels = pod(found)["metadata"]["labels"]
    assert (
        list(selectors(found))
        == [{"app.kubernetes.io/name": "credential-sidecar", "app.kubernetes.io/component": "injector"}] * 7
    )
    assert all(selector.items() <= labels.items() for selector in selectors(found))
    assert labels["team"] == "platform"


def test_every_port_that_is_named_is_the_containers() -> None:
    found = objects(EVERYTHING)
    (container,) = pod(found)["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"webhook": 9943, "status": 9912}
    (port,) = one(found, "Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "webhook")
    probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert probes == {
        "readinessProbe": {"path": "/readyz", "port": "status"},
        "livenessProbe": {"path": "/livez", "port": "status"},
    }
    for monitor in ("credential-sidecar", NAME):
        (endpoint,) = one(found, "PodMonitor", monitor)["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] == "status"


def test_the_sidecars_are_scraped_by_their_containers_name_in_every_namespace() -> None:
    spec = one(objects(EVERYTHING), "PodMonitor", "credential-sidecar")["spec"]
    sidecar = yaml.safe_load((ROOT / "deploy" / "examples" / "pod.yaml").read_text())["spec"]["initContainers"][0]
    (relabeling,) = spec["podMetricsEndpoints"][0]["relabelings"]
    assert (spec["selector"], spec["namespaceSelector"]) == ({}, {"any": True})
    assert (relabeling["action"], relabeling["regex"]) == ("keep", sidecar["name"])
    assert sidecar["ports"][0]["name"] == spec["podMetricsEndpoints"][0]["port"]
    (injector,) = pod(objects(EVERYTHING))["spec"]["containers"]
    assert injector["name"] != sidecar["name"]


def test_the_policy_opens_the_webhook_to_everybody_and_the_status_port_to_monitoring_alone() -> None:
    spec = one(objects(DEFAULTS), "NetworkPolicy")["spec"]
    everybody, monitoring = spec["ingress"]
    (container,) = pod(objects(DEFAULTS))["spec"]["containers"]
    webhook, status = ({"port": each["containerPort"]} for each in container["ports"])
    assert everybody == {"ports": [webhook]}
    assert (monitoring["ports"], len(monitoring["from"])) == ([status], 1)
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == [{"ports": [{"port": 443}, {"port": 6443}]}]
    assert one(objects("selectors"), "NetworkPolicy")["spec"]["egress"] == []


def test_the_pod_is_what_the_sidecars_is_and_drains_before_it_is_killed() -> None:
    spec = pod(objects(DEFAULTS))["spec"]
    (container,) = spec["containers"]
    sidecar = yaml.safe_load((ROOT / "deploy" / "examples" / "pod.yaml").read_text())["spec"]["initContainers"][0]
    security = {**spec["securityContext"], **container["securityContext"]}
    assert sidecar["securityContext"].items() <= security.items()
    assert (security["runAsNonRoot"], spec["enableServiceLinks"]) == (True, False)
    (drain,) = (int(each["value"]) for each in container["env"] if each["name"] == "SIDECAR_DRAIN")
    (timeout,) = {
        each["timeoutSeconds"] for each in one(objects(DEFAULTS), "MutatingWebhookConfiguration", NAMESPACE)["webhooks"]
    }
    assert drain + timeout + 5 <= spec["terminationGracePeriodSeconds"]
    assert container["resources"]["limits"] == {"memory": "128Mi"}


def test_it_has_no_right_in_the_api_and_nothing_secret_is_written() -> None:
    for path in RENDERS:
        found = parsed(path.read_text())
        kinds = {each["kind"] for each in found}
        assert not {kind for kind in kinds if "Role" in kind or kind == "Secret"}
        account, spec = one(found, "ServiceAccount"), pod(found)["spec"]
        assert spec["serviceAccountName"] == account["metadata"]["name"]
        assert (spec["automountServiceAccountToken"], account["automountServiceAccountToken"]) == (False, False)
        assert [set(each) - {"name"} for each in spec["volumes"]] == [{"secret"}, {"projected"}]
        assert "PRIVATE KEY" not in path.read_text()


def test_the_certificate_is_the_services_and_is_the_one_that_is_mounted_and_trusted() -> None:
    found = objects(DEFAULTS)
    certificate, authority = one(found, "Certificate")["spec"], one(found, "Certificate", f"{NAME}-ca")["spec"]
    webhook = one(found, "MutatingWebhookConfiguration", "credential-sidecar")
    (service,) = {
        json.dumps(each["clientConfig"]["service"])
        for each in webhook["webhooks"]
        if each["clientConfig"]["service"].pop("path")
    }
    assert json.loads(service) == {"name": NAME, "namespace": NAMESPACE, "port": 443}
    assert certificate["dnsNames"][0] == f"{NAME}.{NAMESPACE}.svc"
    volume, _ = pod(found)["spec"]["volumes"]
    assert volume["secret"] == {"secretName": certificate["secretName"]}
    assert webhook["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/{NAME}"}
    assert one(found, "Issuer", certificate["issuerRef"]["name"])["spec"] == {
        "ca": {"secretName": authority["secretName"]}
    }
    assert one(found, "Issuer", authority["issuerRef"]["name"])["spec"] == {"selfSigned": {}}
    assert (authority["isCA"], authority["privateKey"]["rotationPolicy"]) == (True, "Never")


def test_an_issuer_of_ones_own_signs_alone() -> None:
    found = objects("selectors")
    assert [each["kind"] for each in found if each["apiVersion"].startswith("cert-manager")] == ["Certificate"]
    reference = {"group": "example.com", "kind": "ClusterIssuer", "name": "company"}
    assert one(found, "Certificate")["spec"]["issuerRef"] == reference


def test_without_cert_manager_the_secret_and_the_bundle_are_the_given_ones() -> None:
    found, said = objects("secret"), yaml.safe_load(CASES[0].with_stem("secret").read_text())["certificates"]
    assert not [each for each in found if each["apiVersion"].startswith("cert-manager")]
    assert pod(found)["spec"]["volumes"][0] == {"name": "tls", "secret": {"secretName": said["secretName"]}}
    webhook = one(found, "MutatingWebhookConfiguration", "credential-sidecar")
    bundles = {each["clientConfig"]["caBundle"] for each in webhook["webhooks"]}
    assert [yaml.safe_load(f"!!binary {each}").decode() for each in bundles] == [said["caBundle"]]
    assert "annotations" not in webhook["metadata"]


def test_what_is_injected_is_said_to_the_command() -> None:
    (container,) = pod(objects(DEFAULTS))["spec"]["containers"]
    assert container["args"] == [f"--image={container['image']}"]
    (container,) = pod(objects(EVERYTHING))["spec"]["containers"]
    said = yaml.safe_load(CASES[0].with_stem(EVERYTHING).read_text())
    assert container["image"] == f"{said['image']['repository']}@{said['image']['digest']}"
    image, *defaults = container["args"]
    assert image == f"--image={said['injection']['image']}"
    given = {**said["injection"]["defaults"], "readiness": "true", "duration": "3600"}
    assert dict(each.removeprefix("--set=").split("=", 1) for each in defaults) == given


def test_another_version_renames_nothing_and_selects_the_same(helm: Path, tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "chart")
    path = tmp_path / "chart" / "Chart.yaml"
    path.write_text(path.read_text().replace(f"ersion: {__version__}", "ersion: 7.8.9+built.today"))
    words = ("--values", CASES[0].with_stem(EVERYTHING), "--set", "image.digest=")
    old, new = (parsed(charts.render(helm, *words, chart=chart)) for chart in (CHART, tmp_path / "chart"))
    assert [identity(each) for each in old] == [identity(each) for each in new]
    assert list(selectors(old)) == list(selectors(new))
    (container,) = pod(new)["spec"]["containers"]
    assert container["image"].endswith(":7.8.9+built.today")
    assert one(new, "Deployment")["metadata"]["labels"]["helm.sh/chart"] == "credential-sidecar-7.8.9_built.today"


def test_the_releases_name_and_namespace_change_no_name(helm: Path) -> None:
    moved = parsed(charts.render(helm, namespace="platform"))
    other = charts.asked(helm, *"template other --namespace platform --kube-version".split(), charts.OLDEST, CHART)
    assert [identity(each) for each in moved] == [identity(each) for each in parsed(other.stdout)]
    assert {each["metadata"].get("namespace", "platform") for each in moved} == {"platform"}
    assert {each["metadata"]["name"] for each in moved} == {each["metadata"]["name"] for each in objects(DEFAULTS)}
    webhook = one(moved, "MutatingWebhookConfiguration", "credential-sidecar")
    assert webhook["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"platform/{NAME}"}
    assert one(moved, "Certificate")["spec"]["dnsNames"][0] == f"{NAME}.platform.svc"


def test_every_alert_names_the_namespace_that_the_runbooks_commands_want(helm: Path) -> None:
    moved = parsed(charts.render(helm, "--set", "prometheusRule.enabled=true", namespace="platform"))
    (group,) = one(moved, "PrometheusRule")["spec"]["groups"]
    assert len(group["rules"]) == 4
    for rule in group["rules"]:
        assert "namespace platform" in rule["annotations"]["description"]


def identity(found: Object) -> tuple[str, str, str]:
    """What Kubernetes knows an object by."""
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def test_what_helm_prints_names_what_there_is(helm: Path, tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "chart")
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    folder = tmp_path / "chart" / "templates"
    (folder / "_notes.tpl").write_text(f'{{{{- define "notes" -}}}}{notes}{{{{- end -}}}}')
    (folder / "notes.yaml").write_text('kind: Notes\nmetadata: {name: notes}\ntext: {{ include "notes" . | toJson }}\n')
    for case in CASES:
        found = parsed(charts.render(helm, "--values", case, chart=tmp_path / "chart"))
        text = one(found, "Notes", "notes")["text"]
        named = [tuple(each.split("/")) for each in re.findall(r"(?:certificate|deployment)/\S+", text)]
        assert [one(found, kind.title(), name)["kind"] for kind, name in named]
        exempt = one(found, "MutatingWebhookConfiguration", "credential-sidecar")["webhooks"][0]["namespaceSelector"]
        (names,) = (
            each["values"] for each in exempt["matchExpressions"] if each["key"] == "kubernetes.io/metadata.name"
        )
        assert f"every namespace but {', '.join(names)}.\n" in text


def test_the_base_of_kustomize_is_the_default_render_without_what_is_helms(helm: Path, each_kustomize: Path) -> None:
    assert (BASE / "injector.yaml").read_text() == charts.without_helm(charts.render(helm)), "run `make deploy WRITE=1`"
    ours = {
        "app.kubernetes.io/instance": charts.RELEASE,
        "app.kubernetes.io/managed-by": "Helm",
        "helm.sh/chart": f"credential-sidecar-{__version__}",
    }
    found = parsed((BASE / "injector.yaml").read_text())
    for each in found:
        assert not ours.keys() & each["metadata"]["labels"].keys()
        each["metadata"]["labels"] |= ours
    assert found == objects(DEFAULTS)
    built = parsed(kustomized(each_kustomize, BASE))
    space = one(built, "Namespace", NAMESPACE)
    assert space["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert sorted(map(identity, built)) == sorted(map(identity, [space, *found]))


def test_the_example_sets_the_image_in_both_places_and_the_defaults(each_kustomize: Path) -> None:
    text = kustomized(each_kustomize, INJECTOR)
    assert (INJECTOR / RENDER).read_text() == text, "run `make deploy WRITE=1`"
    (container,) = pod(parsed(text))["spec"]["containers"]
    image, *defaults = container["args"]
    assert image == f"--image={container['image']}"
    assert container["image"] == f"registry.example.com/credential-sidecar:{__version__}"
    assert [each.partition("=")[2].partition("=")[0] for each in defaults] == ["region", "source-role-arn"]
