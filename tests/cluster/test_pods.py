"""Pods that ask for it by a label, in a real cluster: API server, scheduler and kubelet do the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sidecar.emulator import Fault
from tests.cluster.node import PATIENCE, Cluster, until
from tests.cluster.objects import SIDECAR, deployment, job, pod
from tests.process import CLIENT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

READY = ("--namespace", "shop", "--for=condition=Ready", f"--timeout={PATIENCE}s")
B = "arn:aws:sts::444455556666:assumed-role/account-b-role/shop."


def log(here: Cluster, what: str, container: str = "app") -> str:
    """What a container has printed so far."""
    return here.kubectl("logs", what, "--namespace", "shop", "--container", container)


def sidecar_of(here: Cluster, name: str) -> dict[str, Any]:
    """What kubelet says of a pod's sidecar."""
    (found,) = here.get("pod", name, "--namespace", "shop")["status"]["initContainerStatuses"]
    assert found["name"] == SIDECAR
    assert isinstance(found, dict)
    return found


def calls_of(here: Cluster, name: str) -> int:
    """How often a pod has asked STS."""
    return sum(each.session_name == f"shop.{name}" for each in [*here.sts.calls])


@contextmanager
def running(here: Cluster, name: str, **spec: Any) -> Iterator[None]:
    """A labelled pod that is ready, and gone afterwards."""
    here.apply(pod(name, **spec))
    here.kubectl("wait", f"pod/{name}", *READY)
    yield
    here.kubectl("delete", "pod", name, "--namespace", "shop")


def test_a_labelled_deployment_is_account_b(injector: Cluster) -> None:
    injector.apply(deployment(pod("orders")))
    injector.kubectl("rollout", "status", "deployment/orders", "--namespace", "shop", f"--timeout={PATIENCE}s")
    until(lambda: log(injector, "deployment/orders") != "", "identity")
    assert log(injector, "deployment/orders").startswith(f"{B}orders-")
    (found,) = injector.get("pods", "--namespace", "shop", "--selector", "app=orders")["items"]
    assert [each["name"] for each in found["spec"]["initContainers"]] == [SIDECAR]
    injector.kubectl("delete", "deployment", "orders", "--namespace", "shop")


def test_the_doctor_in_a_pod_finds_nothing(injector: Cluster) -> None:
    with running(injector, "healthy"):
        command = ("exec", "healthy", "--namespace", "shop", "--container", SIDECAR, "--", SIDECAR, "doctor")
        said = injector.kubectl(*command)
        assert "✗" not in said
        report = json.loads(injector.kubectl(*command, "--format", "json"))
    assert [each for each in report["findings"] if each["state"] == "problem" or each.get("fix")] == []
    assert report["exit"] == 0


def test_the_status_is_there_by_way_of_the_api_server(injector: Cluster) -> None:
    with running(injector, "seen"):
        status = injector.kubectl("get", "--raw", "/api/v1/namespaces/shop/pods/seen:9912/proxy/status")
    assert json.loads(status)["targets"][0]["phase"] == "fresh"


def test_a_job_ends_when_its_work_is_done(injector: Cluster) -> None:
    injector.apply(job(pod("nightly", "python3", "-c", CLIENT)))
    injector.kubectl("wait", "job/nightly", "--namespace", "shop", "--for=condition=Complete", f"--timeout={PATIENCE}s")
    assert log(injector, "job/nightly").startswith(f"{B}nightly-")
    (found,) = injector.get("pods", "--namespace", "shop", "--selector", "app=nightly")["items"]
    assert found["status"]["phase"] == "Succeeded"
    (ended,) = found["status"]["initContainerStatuses"]
    assert ended["state"]["terminated"]["exitCode"] == 0
    injector.kubectl("delete", "job", "nightly", "--namespace", "shop")


def test_the_workload_waits_while_sts_is_away(injector: Cluster) -> None:
    injector.sts.fault = Fault.http(503)
    try:
        injector.apply(pod("patient"))
        log_of = ("kubectl", "logs", "patient", "--namespace", "shop", "--container", SIDECAR)
        until(lambda: "HopFailed" in injector.asked(*log_of).stdout, "failure")
        (app,) = injector.get("pod", "patient", "--namespace", "shop")["status"]["containerStatuses"]
        assert app["state"] == {"waiting": {"reason": "PodInitializing"}}
    finally:
        injector.sts.fault = Fault.none()
    injector.kubectl("wait", "pod/patient", *READY)
    until(lambda: log(injector, "patient") == f"{B}patient\n", "identity")
    assert sidecar_of(injector, "patient")["restartCount"] == 0
    injector.kubectl("delete", "pod", "patient", "--namespace", "shop")


def test_a_killed_sidecar_is_back_with_the_same_credentials_without_sts(injector: Cluster) -> None:
    with running(injector, "tough"):
        get = ("exec", "tough", "--namespace", "shop", "--container", SIDECAR, "--", SIDECAR, "get")
        before = json.loads(injector.kubectl(*get))
        injector.sts.fault = Fault.hang()
        try:
            made = calls_of(injector, "tough")
            identity = sidecar_of(injector, "tough")["containerID"].removeprefix("containerd://")
            injector.kill(identity)
            until(lambda: sidecar_of(injector, "tough")["restartCount"] == 1, "restart")
            until(lambda: sidecar_of(injector, "tough").get("started", False), "start")
            assert json.loads(injector.kubectl(*get)) == before
            assert calls_of(injector, "tough") == made
        finally:
            injector.sts.fault = Fault.none()
