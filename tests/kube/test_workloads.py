"""Which objects have pods, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.kube.documents import plain, read
from sidecar.kube.workloads import Stranger, Workload, objects

POD = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app"}]}}
TEMPLATE = {"spec": {"template": POD}}


def found(value: Any) -> list[Workload | Stranger]:
    (document,) = read(json.dumps(value))
    return [*objects(plain(document.root))]


def workload(api: str, kind: str, body: Any, **metadata: str) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


@pytest.mark.parametrize(
    ("api", "kind", "body"),
    [
        ("v1", "Pod", {"spec": POD["spec"]}),
        ("v1", "PodTemplate", {"template": POD}),
        ("v1", "ReplicationController", TEMPLATE),
        ("apps/v1", "Deployment", TEMPLATE),
        ("apps/v1", "StatefulSet", TEMPLATE),
        ("apps/v1", "DaemonSet", TEMPLATE),
        ("apps/v1beta2", "ReplicaSet", TEMPLATE),
        ("extensions/v1beta1", "Deployment", TEMPLATE),
        ("batch/v1", "Job", TEMPLATE),
        ("batch/v1", "CronJob", {"spec": {"jobTemplate": TEMPLATE}}),
    ],
)
def test_every_kind_that_has_pods_is_known(api: str, kind: str, body: Any) -> None:
    (one,) = found(workload(api, kind, body, name="a", namespace="b"))
    assert isinstance(one, Workload)
    assert one.who == f"{kind.lower()} b/a"
    assert one.pod["spec"] == POD["spec"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [1],
        {},
        {"kind": "ConfigMap"},
        {"kind": "Pod"} | TEMPLATE | {"apiVersion": "example.com/v1", "spec": {}},
        workload("batch.example.com/v1", "Job", {"spec": {}}),
        workload("apps/v1", "Deployment", {"spec": {"replicas": 2}}),
        workload("apps/v1", "Deployment", {"spec": None}),
        {"kind": "List", "items": None},
        {"kind": "BlockList", "apiVersion": "example.com/v1", "items": ["a", 1]},
    ],
    ids=str,
)
def test_what_has_no_pod_is_passed_over(value: Any) -> None:
    assert found(value) == []


def test_lists_are_looked_into_also_those_that_say_the_kind_once() -> None:
    deployment = workload("apps/v1", "Deployment", TEMPLATE, name="one")
    typed = {"metadata": {"generateName": "two-"}, **TEMPLATE}
    lists = [{"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [typed]}, {"kind": "List", "items": []}]
    names = [each.who for each in found({"apiVersion": "v1", "kind": "List", "items": [deployment, {}, *lists]})]
    assert names == ["deployment one", "deployment two-…"]


def test_a_kind_that_makes_pods_and_is_not_known_is_a_stranger() -> None:
    assert found(workload("example.com/v1", "Rollout", TEMPLATE, name="a")) == [Stranger(who="rollout a")]


def test_the_line_is_that_of_the_object_itself() -> None:
    (document,) = read("kind: List\nitems:\n# c\n- kind: Pod\n  apiVersion: v1\n-\n  kind: Pod\n  apiVersion: v1\n")
    assert [each.line for each in objects(plain(document.root)) if isinstance(each, Workload)] == [4, 7]


def test_what_is_ours_on_the_wrong_object_is_told() -> None:
    ours = {"credential-sidecar.io/region": "x", "other": "y"}
    job = {"metadata": {"labels": {"credential-sidecar.io/inject": "true"}}, **TEMPLATE}
    body = {"spec": {"jobTemplate": job}}
    (one,) = found({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"annotations": ours}, **body})
    assert isinstance(one, Workload)
    assert [each.partition(",")[0] for each in one.strays] == [
        "metadata.annotations has credential-sidecar.io/region",
        "spec.jobTemplate.metadata.labels has credential-sidecar.io/inject",
    ]
    assert one.strays[0].endswith("spec.jobTemplate.spec.template.metadata.annotations alone")


@pytest.mark.parametrize("metadata", [None, [], "x", {"labels": []}, {"annotations": "x"}])
def test_metadata_of_another_type_is_left_to_injection(metadata: Any) -> None:
    body = {"spec": {"template": {"metadata": metadata, "spec": {}}}}
    (one,) = found({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, **body})
    assert isinstance(one, Workload)
    assert one.labels == {}
    assert one.strays == []
