"""What the API server makes of the chart: who is asked about, what is denied, and what if nobody answers."""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path

import pytest
import yaml

from tests.authority import Authority
from tests.cluster.node import PATIENCE, Cluster, Document, until
from tests.cluster.objects import ASKED, INJECT, SIDECAR, deployment, namespace, pod, secret, service_account
from tests.deploy.charts import NAMESPACE
from tests.deploy.specs import EXAMPLES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

CREATE = ("create", "--dry-run=server", "--output", "json", "--filename", "-")
CONFIGURATION = "mutatingwebhookconfiguration"


def injected(here: Cluster, label: str | None, where: str) -> bool:
    """Whether a pod would get a sidecar."""
    made = json.loads(here.kubectl(*CREATE, given=yaml.safe_dump(pod("trial", label=label, where=where))))
    return [each["name"] for each in made["spec"].get("initContainers", [])] == [SIDECAR]


def ours(made: Document) -> list[Document]:
    """The containers, without the volume whose name the API server draws for each pod."""
    found: list[Document] = made["spec"]["initContainers"] + made["spec"]["containers"]
    for each in found:
        each["volumeMounts"] = [one for one in each["volumeMounts"] if not one["name"].startswith("kube-api-access-")]
    return found


def reviews_of_one(here: Cluster) -> int:
    """How often the API server asks about a pod."""
    before = _reviews(here)
    injected(here, "true", "shop")
    return _reviews(here) - before


def _reviews(here: Cluster) -> int:
    total = r'^apiserver_admission_webhook_request_total\{.*"pods\.credential-sidecar\.io".*\} (\d+)$'
    return sum(map(int, re.findall(total, here.kubectl("get", "--raw", "/metrics"), re.MULTILINE)))


def serials(here: Cluster, authority: Authority) -> set[str]:
    """Those of the certificates that the injector's pods show."""
    pods = here.get("pods", "--namespace", NAMESPACE)["items"]
    return {_serial(each["status"]["podIP"], authority.client()) for each in pods}


def _serial(address: str, trust: ssl.SSLContext) -> str:
    name = f"credential-sidecar-injector.{NAMESPACE}.svc"
    with (
        socket.create_connection((address, 9943), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname=name) as shown,
    ):
        certificate = shown.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


@pytest.fixture(scope="module")
def namespaces(injector: Cluster) -> Cluster:
    """Namespaces that say yes, no, nothing, something else, and those that are exempt whatever they say."""
    for name, labels in {
        "says-yes": {INJECT: "true"},
        "says-no": {INJECT: "false"},
        "says-nothing": {},
        "says-else": {INJECT: "yes"},
    }.items():
        injector.apply(namespace(name, **labels), service_account(name))
    for name in ("kube-system", NAMESPACE):
        injector.kubectl("label", "namespace", name, f"{INJECT}=true")
        injector.apply(service_account(name))
    return injector


@pytest.mark.parametrize(
    ("where", "label", "is_injected"),
    [
        ("says-yes", None, True),
        ("says-yes", "true", True),
        ("says-yes", "false", False),
        ("says-no", None, False),
        ("says-no", "true", True),
        ("says-nothing", None, False),
        ("says-nothing", "true", True),
        ("says-nothing", "false", False),
        ("says-else", "true", True),
        ("says-else", "false", False),
        ("kube-system", None, False),
        ("kube-system", "true", False),
        (NAMESPACE, "true", False),
    ],
)
def test_who_is_injected(namespaces: Cluster, where: str, label: str | None, is_injected: bool) -> None:
    assert injected(namespaces, label, where) is is_injected


@pytest.mark.parametrize(("where", "label"), [("says-yes", "yes"), ("says-nothing", "True"), ("says-else", None)])
def test_a_label_that_is_neither_yes_nor_no_is_denied(namespaces: Cluster, where: str, label: str | None) -> None:
    said = namespaces.refused(*CREATE, given=yaml.safe_dump(pod("trial", label=label, where=where)))
    assert "credential-sidecar.io" in said
    assert INJECT in said


def test_the_api_server_tells_what_is_wrong_in_our_words(injector: Cluster) -> None:
    wrong = pod("trial")
    wrong["metadata"]["annotations"] = {**ASKED, "credential-sidecar.io/duration": "2h"}
    said = injector.refused(*CREATE, given=yaml.safe_dump(wrong))
    assert 'admission webhook "pods.credential-sidecar.io" denied the request' in said
    assert "credential-sidecar.io/duration" in said


def test_a_deployment_says_why_it_has_no_pods(injector: Cluster) -> None:
    on_the_host = pod("outside", hostNetwork=True)
    injector.apply(deployment(on_the_host))

    def events() -> str:
        return injector.kubectl("events", "--namespace", "shop", "--types=Warning")

    until(lambda: "hostNetwork" in events(), "event")
    assert 'admission webhook "pods.credential-sidecar.io" denied the request' in events()
    injector.kubectl("delete", "deployment", "outside", "--namespace", "shop")


def test_a_pod_that_is_asked_about_twice_is_injected_once(injector: Cluster) -> None:
    once = json.loads(injector.kubectl(*CREATE, given=yaml.safe_dump(pod("trial"))))
    alone = reviews_of_one(injector)
    again = injector.get(CONFIGURATION, SIDECAR)
    again["metadata"] = {"name": "zz-again"}
    injector.apply(again)
    try:
        until(lambda: reviews_of_one(injector) > alone, "second configuration")
        twice = json.loads(injector.kubectl(*CREATE, given=yaml.safe_dump(pod("trial"))))
    finally:
        injector.kubectl("delete", CONFIGURATION, "zz-again")
    assert ours(twice) == ours(once)


@pytest.mark.parametrize("example", sorted(EXAMPLES), ids=lambda path: path.stem)
def test_the_api_server_takes_what_is_published(injector: Cluster, example: Path) -> None:
    said = injector.kubectl("apply", "--dry-run=server", "--filename", example).splitlines()
    assert [line for line in said if not line.endswith(" (server dry run)")] == []
    assert len(said) == sum(map(bool, yaml.safe_load_all(example.read_text())))


def test_a_renewed_certificate_is_used_within_moments(injector: Cluster, authority: Authority) -> None:
    before = serials(injector, authority)
    injector.apply(secret(authority))

    def is_renewed() -> bool:
        assert injected(injector, "true", "shop")
        now = serials(injector, authority)
        return len(now) == 1 and not now & before

    until(is_renewed, "new certificate")


def test_while_no_injector_answers_labelled_pods_wait_and_others_do_not(injector: Cluster) -> None:
    scale = ("scale", "deployment/credential-sidecar-injector", "--namespace", NAMESPACE)
    gone = (
        "--for=delete",
        f"--timeout={PATIENCE}s",
        "--namespace",
        NAMESPACE,
        "--selector",
        "app.kubernetes.io/component=injector",
    )
    injector.kubectl(*scale, "--replicas=0")
    injector.kubectl("wait", "pod", *gone)
    try:
        said = injector.refused(*CREATE, given=yaml.safe_dump(pod("trial")))
        assert 'failed calling webhook "pods.credential-sidecar.io"' in said
        assert not injected(injector, None, "shop")
        assert not injected(injector, "false", "shop")
    finally:
        injector.kubectl(*scale, "--replicas=2")
        rollout = ("rollout", "status", "deployment/credential-sidecar-injector", "--namespace", NAMESPACE)
        injector.kubectl(*rollout, f"--timeout={PATIENCE}s")
    until(lambda: injector.asked("kubectl", *CREATE, given=yaml.safe_dump(pod("trial"))).returncode == 0, "injector")
    assert injected(injector, "true", "shop")
