"""Every folder of `cases/`: what comes of the pod is the expected pod, and only what is ours was touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.errors import ConfigError
from sidecar.kube.injection import Injection, inject
from tests.deploy import rules
from tests.deploy.specs import URI, Pod, environment
from tests.kube.defaults import limited, served
from tests.kube.judge import OURS, SKIP, excesses, trespasses
from tests.kube.pods import BY_NAME, CASES, DENIED, INJECTED, Case, injected, patched

# The rules for published pods that a pod of another's making may break, by case; each is warned of, or was asked for.
BROKEN: Final = {
    "audience": {"house"},
    "china-with-its-audience": {"house"},
    "env-from": {"r4"},
    "files-with-keys": {"r4"},
    "istio-cni-native": {"r22"},
    "istio-native": {"r22"},
    "linkerd-native": {"r22"},
    "again-before-a-native-proxy": {"r22"},
    "no-proxy-for-anything": {"r6"},
    "no-proxy-from-elsewhere": {"r6"},
    "no-proxy-from-elsewhere-in-one-spelling": {"r6"},
    "no-proxy-with-loopback": {"r6"},
    "node-metadata-on": {"r5"},
    "readiness": {"r22"},
    "openshift-with-its-own-user": {"house"},
    "everything-that-is-warned-of": {"house", "r3", "r4", "r5", "r6"},
    "mounts-around-ours": {"held"},
    "pod-identity-with-skip-containers": {"r1", "r4", "r5", "r7"},
    "region-empty": {"r3"},
    "twenty-containers": {"held"},
    "share-process-namespace": {"house"},
    "token-variable": {"r4"},
    "token-variable-two-targets": {"r4"},
    "again-with-a-token-variable": {"r4"},
}
RULES: Final = (
    rules.r1,
    rules.r3,
    rules.r4,
    rules.r5,
    rules.r6,
    rules.r7,
    rules.r22,
    rules.r23,
    rules.held,
    rules.house,
)
_ACCOUNT_A: Final = """
[profile account_a]
web_identity_token_file = /var/run/secrets/eks.amazonaws.com/serviceaccount/token
role_arn = arn:aws:iam::111122223333:role/account-a-role
region = eu-west-1
"""
_PROFILE: Final = "[profile {0}]\nsource_profile = account_a\nrole_arn = arn:aws:iam::444455556666:role/{0}\n"
_NAMES: Final = ("orders", "invoices", "account_b_role", "Invoices.2")
PROFILES: Final = "".join((_ACCOUNT_A, *map(_PROFILE.format, _NAMES)))
CONFIG_MAP: Final = {"kind": "ConfigMap", "metadata": {"name": "orders-profiles"}, "data": {"config": PROFILES}}

WITH_SIDECAR: Final = tuple(case for case in INJECTED if case.name not in ("label-false", "static-pod"))

each_with_sidecar = pytest.mark.parametrize("case", WITH_SIDECAR, ids=lambda case: case.name)
each_injected = pytest.mark.parametrize("case", INJECTED, ids=lambda case: case.name)


def test_every_folder_is_a_case_and_says_one_thing() -> None:
    assert len(CASES) >= 60
    known = {"pod.yaml", "expected.yaml", "denied.txt", "warnings.txt", "set.yaml"}
    for case in CASES:
        files = {path.name for path in case.folder.iterdir()}
        assert files <= known, case.name
        assert ("expected.yaml" in files) != ("denied.txt" in files), case.name
        assert not case.is_denied or case.phrases("denied.txt"), case.name


@each_injected
def test_what_comes_of_it_is_the_expected_pod(case: Case) -> None:
    pod = case.pod
    injection = inject(pod, case.injector)
    assert pod == case.pod, "the pod that was asked about was changed"
    assert patched(pod, injection) == case.expected
    assert bool(injection.changes) == bool(injection.operations) == (pod != case.expected)


@each_injected
def test_what_is_warned_of_is_all_that_is_warned_of(case: Case) -> None:
    said, phrases = inject(case.pod, case.injector).warnings, case.phrases("warnings.txt")
    assert bool(said) == bool(phrases), said
    assert [phrase for phrase in phrases if phrase not in "\n".join(said)] == []
    assert all(sentence == sentence.strip() and "\n" not in sentence for sentence in said)
    assert len(set(said)) == len(said)
    # Kubernetes cuts what is longer, and the webhook says who speaks.
    assert all(len(f"credential-sidecar: {sentence}") <= 256 for sentence in said)


@pytest.mark.parametrize("case", DENIED, ids=lambda case: case.name)
def test_what_is_denied_is_said_with_a_remedy(case: Case) -> None:
    with pytest.raises(ConfigError) as denied:
        inject(case.pod, case.injector)
    said = str(denied.value)
    assert [phrase for phrase in case.phrases("denied.txt") if phrase not in said] == [], said
    assert all(problem.remedy[-1] in ".?" and problem.wrong for problem in denied.value.problems)
    assert len(set(denied.value.problems)) == len(denied.value.problems)
    assert "AKIA" not in said, "a key was shown"


@each_injected
def test_injecting_again_does_nothing(case: Case) -> None:
    once = inject(case.pod, case.injector)
    for pod in (case.expected, served(case.expected), limited(served(case.expected))):
        assert inject(pod, case.injector) == Injection(warnings=once.warnings)


@each_injected
def test_nothing_of_the_pods_own_is_touched(case: Case) -> None:
    assert list(trespasses(case.pod, injected(case.pod, case.injector))) == []
    assert list(excesses(case.pod, inject(case.pod, case.injector).operations)) == []


def test_operations_are_of_three_kinds() -> None:
    found = {operation["op"] for case in INJECTED for operation in inject(case.pod, case.injector).operations}
    assert found == {"add", "replace", "move"}


@each_with_sidecar
def test_the_pod_keeps_the_contract_of_pods(case: Case, tmp_path: Path) -> None:
    pod = read(case)
    config = pod.settings(tmp_path)
    complaints = {rule.__name__: said for rule in RULES if (said := list(rule(pod, config)))}
    assert complaints.keys() == BROKEN.get(case.name, set()), complaints
    assert config.targets


@each_with_sidecar
def test_the_eks_webhook_leaves_alone_whoever_asks(case: Case) -> None:
    pod = read(case)
    asking = {asker["name"] for asker in pod.askers if "127.0.0.1" in environment(asker)[URI]}
    # As that webhook reads it: a space is part of a name.
    assert {OURS, *asking} <= {*pod.metadata["annotations"][SKIP].split(",")}


def read(case: Case) -> Pod:
    """The expected pod, as published ones are read: without what the API server has added to the sidecar."""
    found = case.expected
    spec, api = found["spec"], "kube-api-access"
    spec["volumes"] = [each for each in spec["volumes"] if not each["name"].startswith(api)]
    for container in (*spec["initContainers"], *spec["containers"]):
        kept = [each for each in container.get("volumeMounts", ()) if not each["name"].startswith(api)]
        container["volumeMounts"] = kept
        for probe in ("startupProbe", "livenessProbe"):
            container.get(probe, {}).get("httpGet", {}).pop("scheme", None)
    return Pod(name=case.name, metadata=found["metadata"], spec=spec, beside=(CONFIG_MAP,))


def _spoilt() -> Iterator[tuple[str, Any]]:
    """Expected pods in which something of the pod's own was touched."""

    def change(name: str, path: str, value: Any) -> tuple[str, Any]:
        pod = BY_NAME[name].expected
        *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
        place: Any = pod
        for key in way:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
        return name, pod

    yield change("several-containers", "spec/containers/0/image", "another")
    yield change("several-containers", "spec/containers/1", None)
    yield change("several-containers", "spec/containers/0/tty", value=True)
    yield change("several-containers", "metadata/labels/app.kubernetes.io~name", "another")
    yield change("values-from-elsewhere", "spec/containers/0/env/1", None)
    yield change("values-from-elsewhere", "spec/containers/0/env/2/value", "hello")
    yield change("values-from-elsewhere", "spec/containers/0/env/3/name", "PATH")
    yield change("no-proxy-without-loopback", "spec/containers/0/env/1/value", "127.0.0.1")
    yield change("volumes-of-the-pods-own", "spec/volumes/0/emptyDir", {})
    yield change("volumes-of-the-pods-own", "spec/volumes/2/name", "credential-sidecar")
    yield change("volumes-of-the-pods-own", "spec/containers/0/volumeMounts/2/name", "credential-sidecar-state")
    yield change("skip-containers-there", f"metadata/annotations/{SKIP.replace('/', '~')}", "credential-sidecar,app")
    yield change("fields-of-tomorrow", "spec/futureField/nested/1", 1)
    yield change("fields-of-tomorrow", "spec/enableServiceLinks", 0)
    yield change("again", "spec/initContainers/0/image", "another")
    name, pod = change("init-containers", "spec/restartPolicy", "Always")
    del pod["spec"]["restartPolicy"]
    pod["spec"]["initContainers"][1:] = pod["spec"]["initContainers"][:0:-1]
    yield name, pod


SPOILT: Final = tuple(_spoilt())


@pytest.mark.parametrize(("name", "pod"), SPOILT, ids=[f"{n} {name}" for n, (name, _) in enumerate(SPOILT)])
def test_what_else_is_touched_is_seen(name: str, pod: Any) -> None:
    assert list(trespasses(BY_NAME[name].pod, BY_NAME[name].expected)) == []
    assert list(trespasses(BY_NAME[name].pod, pod)) != []


@pytest.mark.parametrize(
    ("op", "path", "value"),
    [
        ("replace", "/spec/containers", []),
        ("replace", "/spec/containers/0/env", []),
        ("add", "/spec/containers/0/env", [{"name": "A", "value": "b"}]),
        ("add", "/spec/volumes", []),
        ("remove", "/spec/containers/0/env/0", None),
        ("replace", "/spec/containers/0/env/0/value", "x"),
        ("add", "/metadata/annotations", {}),
        ("replace", "/metadata/annotations/example.com~1a", "x"),
        ("add", "/spec/containers/0/image", "x"),
        ("replace", "/spec/containers/0/env/1/value", "10.0.0.0/8"),
    ],
)
def test_an_operation_that_is_not_minimal_is_seen(op: str, path: str, value: Any) -> None:
    env = [{"name": "A", "value": "a"}, {"name": "NO_PROXY", "value": "10.0.0.0/8"}]
    pod = yaml.safe_load("{metadata: {annotations: {example.com/a: b}}, spec: {volumes: [{name: v}]}}")
    pod["spec"]["containers"] = [{"name": "app", "image": "app", "env": env}]
    operation = {"op": op, "path": path} | ({} if value is None else {"value": value})
    assert list(excesses(pod, [operation])) != []
