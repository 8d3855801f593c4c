"""Every published pod keeps each rule of the contract, and a pod that was made to break it is seen to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.bypass import WAYS
from tests.deploy import rules
from tests.deploy.rules import Rule
from tests.deploy.specs import EXAMPLES, FILES, ROOT, TOKEN_FILE, URI, Pod, guarded, pods
from tests.deploy.specs import SIDECAR as NAME

Break = Callable[[Pod], object]

PUBLISHED = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "deploy")))


def keeps(rule: Rule, path: Path, folder: Path) -> None:
    """Asserts that every pod of the file with a sidecar keeps the rule."""
    found = guarded(path)
    assert found or not any(pods(path)), "nobody has the sidecar"
    assert [complaint for pod in found for complaint in rule(pod, pod.settings(folder))] == []


def breaks(rule: Rule, change: Break, folder: Path, name: str = "pod") -> None:
    """Asserts that the rule has a complaint about that example once it is changed, and none before."""
    (pod,) = guarded(ROOT / "deploy" / "examples" / f"{name}.yaml")
    config, changed = pod.settings(folder), pod.copy()
    change(changed)
    assert list(rule(pod, config)) == []
    assert list(rule(changed, config)) != []


def put(name: str, value: str | None) -> Break:
    """Sets a variable of the workload, or takes it away."""

    def change(pod: Pod) -> None:
        environ = [each for each in pod.askers[0]["env"] if each["name"] != name]
        pod.askers[0]["env"] = environ if value is None else [*environ, {"name": name, "value": value}]

    return change


def say(path: str, value: Any) -> Break:
    """Sets what stands at a path of the spec; None takes it away."""

    def change(pod: Pod) -> None:
        *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
        place: Any = pod.spec
        for key in way:
            place = place[key]
        if value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value

    return change


def breaking(*cases: Break) -> pytest.MarkDecorator:
    """One test for each."""
    return pytest.mark.parametrize("change", cases, ids=[str(number) for number in range(1, len(cases) + 1)])


SIDECAR, APP, VOLUMES = "initContainers/0", "containers/0", "volumes"
PROBE = {"httpGet": {"path": "/readyz", "port": 9912}, "periodSeconds": 1, "failureThreshold": 3600}
OTHER = {"name": "other", "image": "other"}
SKIP = "eks.amazonaws.com/skip-containers"
TOKEN, STATE = "credential-sidecar-authorization", "credential-sidecar-state"


@PUBLISHED
def test_r1_workloads_ask_a_literal_loopback_address_with_port_and_path(path: Path, tmp_path: Path) -> None:
    keeps(rules.r1, path, tmp_path)


@breaking(
    put(URI, "http://localhost:9911/v1/credentials"),
    put(URI, "https://127.0.0.1:9911/v1/credentials"),
    put(URI, "http://127.0.0.1/v1/credentials"),
    put(URI, "http://127.0.0.1:9911"),
    put(URI, "http://127.0.0.1:9911/v1/credentials?target=default"),
    put(URI, "http://user@127.0.0.1:9911/v1/credentials"),
    put(URI, "http://127.0.0.1:9912/v1/credentials"),
    put(URI, "http://127.0.0.1:9911/v1/credentials/orders"),
    put(URI, "http://169.254.170.23/v1/credentials"),
    put(URI, None),
)
def test_r1_another_address_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r1, change, tmp_path)


@PUBLISHED
def test_r3_no_relative_uri_and_no_empty_variable(path: Path, tmp_path: Path) -> None:
    keeps(rules.r3, path, tmp_path)


@breaking(
    put("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v1/credentials"),
    put("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
    put(TOKEN_FILE, ""),
    say(f"{APP}/env/5", {"name": "AWS_PROFILE"}),
    say(f"{SIDECAR}/env/4", {"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": ""}),
)
def test_r3_a_relative_uri_or_an_empty_variable_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r3, change, tmp_path)


@PUBLISHED
def test_r4_workloads_have_nothing_that_outranks_the_endpoint(path: Path, tmp_path: Path) -> None:
    keeps(rules.r4, path, tmp_path)


@pytest.mark.parametrize(
    "name",
    sorted({name for way in WAYS if way.outranks for name in way.names} - {URI} | {"AWS_SHARED_CREDENTIALS_FILE"}),
)
def test_r4_each_variable_that_outranks_it_is_seen(name: str, tmp_path: Path) -> None:
    breaks(rules.r4, put(name, "x"), tmp_path)


@breaking(put("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x"), say(f"{APP}/envFrom", [{"secretRef": {"name": "keys"}}]))
def test_r4_so_is_what_nobody_can_see(change: Break, tmp_path: Path) -> None:
    breaks(rules.r4, change, tmp_path)


@pytest.mark.parametrize("name", ["pod", "annotated"])
@pytest.mark.parametrize("skipped", ["", "app", "credential-sidecar", "app, credential-sidecar"])
def test_r4_who_is_skipped_by_the_eks_webhook_is_so_together_with_the_sidecar(
    skipped: str, name: str, tmp_path: Path
) -> None:
    breaks(rules.r4, lambda pod: pod.metadata["annotations"].update({SKIP: skipped}), tmp_path, name)


def test_r4_an_annotated_account_wants_that(tmp_path: Path) -> None:
    breaks(rules.r4, lambda pod: pod.metadata["annotations"].pop(SKIP), tmp_path, "annotated")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
def test_r4_every_example_is_right_whatever_its_account_has(path: Path) -> None:
    for pod in guarded(path):
        asking = ",".join([NAME, *(each["name"] for each in pod.askers)])
        assert pod.metadata["annotations"] == {SKIP: asking}


@PUBLISHED
def test_r5_workloads_never_ask_the_node(path: Path, tmp_path: Path) -> None:
    keeps(rules.r5, path, tmp_path)


@breaking(put("AWS_EC2_METADATA_DISABLED", None), put("AWS_EC2_METADATA_DISABLED", "false"))
def test_r5_a_workload_that_may_ask_the_node_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r5, change, tmp_path)


@PUBLISHED
def test_r6_a_proxy_of_the_workload_spares_loopback(path: Path, tmp_path: Path) -> None:
    keeps(rules.r6, path, tmp_path)


@breaking(put("NO_PROXY", None), put("no_proxy", None), put("NO_PROXY", "localhost"), put("no_proxy", "10.0.0.0/8"))
def test_r6_a_proxy_in_between_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r6, change, tmp_path, "proxied")


@PUBLISHED
def test_r7_the_token_file_is_named_and_mounted_read_only_where_it_is_meant_to_be(path: Path, tmp_path: Path) -> None:
    keeps(rules.r7, path, tmp_path)


@breaking(
    put(TOKEN_FILE, None),
    put(TOKEN_FILE, "/var/run/credential-sidecar/token"),
    put(TOKEN_FILE, "/var/run/credential-sidecar/other/token"),
    say(f"{APP}/volumeMounts", None),
    say(f"{APP}/volumeMounts/0/readOnly", None),
    say(f"{APP}/volumeMounts/0/mountPath", "/var/run/other"),
    say(f"{APP}/volumeMounts/0/name", STATE),
    say(f"{SIDECAR}/volumeMounts/1/readOnly", value=True),
    say(f"{SIDECAR}/volumeMounts/1/mountPath", "/var/run/credential-sidecar"),
    say(f"{VOLUMES}/1/emptyDir", {}),
    say("containers/1", {**OTHER, "volumeMounts": [{"name": TOKEN, "mountPath": "/x", "readOnly": True}]}),
)
def test_r7_a_token_that_is_missing_writable_on_disk_or_elsewhere_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r7, change, tmp_path)


def test_r7_another_targets_token_is_seen(tmp_path: Path) -> None:
    other = {"name": f"{TOKEN}-invoices", "mountPath": "/var/run/credential-sidecar/invoices", "readOnly": True}
    breaks(rules.r7, say(f"{APP}/volumeMounts/1", other), tmp_path, "two-targets")
    breaks(rules.r7, put(URI, "http://127.0.0.1:9911/v1/credentials/invoices"), tmp_path, "two-targets")


@PUBLISHED
def test_r22_workloads_start_when_there_are_credentials(path: Path, tmp_path: Path) -> None:
    keeps(rules.r22, path, tmp_path)


@breaking(
    lambda pod: pod.spec["initContainers"].insert(0, OTHER),
    lambda pod: pod.spec["containers"].append(pod.spec["initContainers"].pop()),
    say(f"{SIDECAR}/restartPolicy", None),
    say(f"{SIDECAR}/startupProbe", None),
    say(f"{SIDECAR}/startupProbe/httpGet/path", "/livez"),
    say(f"{SIDECAR}/startupProbe/httpGet/port", 9911),
    say(f"{SIDECAR}/startupProbe/periodSeconds", 10),
    say(f"{SIDECAR}/startupProbe/failureThreshold", 3),
    say(f"{SIDECAR}/livenessProbe", None),
    say(f"{SIDECAR}/livenessProbe/httpGet/path", "/readyz"),
    say(f"{SIDECAR}/readinessProbe", PROBE),
)
def test_r22_a_workload_that_starts_early_or_never_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r22, change, tmp_path)


@PUBLISHED
def test_r23_the_sidecar_ends_after_the_workload(path: Path, tmp_path: Path) -> None:
    keeps(rules.r23, path, tmp_path)


@breaking(
    lambda pod: pod.spec["containers"].append(pod.spec["initContainers"].pop()),
    say(f"{SIDECAR}/restartPolicy", None),
    say(f"{SIDECAR}/lifecycle", {"preStop": {"exec": {"command": ["kill", "1"]}}}),
    say("terminationGracePeriodSeconds", 0),
)
def test_r23_a_sidecar_that_ends_early_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.r23, change, tmp_path)


@PUBLISHED
def test_the_projected_token_and_the_state_are_the_sidecars_alone(path: Path, tmp_path: Path) -> None:
    keeps(rules.held, path, tmp_path)


@breaking(
    say(f"{APP}/volumeMounts/1", {"name": "credential-sidecar-projected-token", "mountPath": "/token"}),
    say(f"{APP}/volumeMounts/1", {"name": STATE, "mountPath": "/state"}),
    say(f"{SIDECAR}/volumeMounts/0/mountPath", "/token"),
    say(f"{SIDECAR}/volumeMounts/0/subPath", "token"),
    say(f"{SIDECAR}/volumeMounts/2/mountPath", "/state"),
    say(f"{SIDECAR}/volumeMounts/2", None),
)
def test_a_token_or_a_state_in_other_hands_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.held, change, tmp_path)


@PUBLISHED
def test_the_pod_keeps_what_experience_has_taught(path: Path, tmp_path: Path) -> None:
    keeps(rules.house, path, tmp_path)


@breaking(
    say("enableServiceLinks", None),
    say("shareProcessNamespace", value=True),
    say("hostNetwork", value=True),
    say(f"{SIDECAR}/securityContext/runAsUser", 1000),
    say(f"{SIDECAR}/securityContext/runAsNonRoot", None),
    say(f"{SIDECAR}/securityContext/seccompProfile", {"type": "Unconfined"}),
    say(f"{SIDECAR}/resources/requests", {"cpu": "10m"}),
    say(f"{VOLUMES}/0/projected/sources/0/serviceAccountToken/expirationSeconds", 3600),
    say(f"{VOLUMES}/0/projected/sources/0/serviceAccountToken/audience", "sts.amazonaws.com.cn"),
)
def test_what_was_learned_and_forgotten_is_seen(change: Break, tmp_path: Path) -> None:
    breaks(rules.house, change, tmp_path)


@PUBLISHED
def test_the_sidecars_settings_resolve_without_a_complaint(path: Path, tmp_path: Path) -> None:
    for pod in guarded(path):
        found = pod.settings(tmp_path)
        assert found.targets
        assert found.warnings == ()


def test_there_is_an_example_for_each_case() -> None:
    cases = "annotated cronjob daemonset deployment direct fargate job pod proxied statefulset two-targets".split()
    assert [path.stem for path in EXAMPLES if any(guarded(path))] == cases
