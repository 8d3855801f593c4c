"""The objects of a namespace whose workload wants to be account B."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any, Final

from tests.authority import Authority
from tests.builders import ROLE_A, ROLE_B
from tests.cluster.node import ADDRESS, STS_PORT, TAG, Document
from tests.deploy.charts import NAMESPACE
from tools import image

PREFIX: Final = "credential-sidecar.io/"
SIDECAR: Final = "credential-sidecar"  # what its container is called, and its program
INJECT: Final = f"{PREFIX}inject"
ASKED: Final = {f"{PREFIX}source-role-arn": ROLE_A, f"{PREFIX}target-role-arn": ROLE_B}
_APP: Final[Document] = {
    "name": "app",
    "image": f"{image.WORKLOAD}:{TAG}",
    "env": [{"name": "AWS_ENDPOINT_URL_STS", "value": f"http://{ADDRESS}:{STS_PORT}"}],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
_SPEC: Final[Document] = {
    "serviceAccountName": "orders",
    "terminationGracePeriodSeconds": 5,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [_APP],
}


def namespace(name: str, **labels: str) -> Document:
    """A namespace in which pods are restricted."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**level, **labels}}}


def service_account(where: str) -> Document:
    """The account that role A trusts, if it is the shop's."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "orders", "namespace": where}}


def secret(authority: Authority) -> Document:
    """The injector's certificate, a fresh one each time."""
    pair = authority.pair()
    data = {"tls.crt": b64encode(pair.certificate).decode(), "tls.key": b64encode(pair.key).decode()}
    metadata = {"name": "injector-certificate", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


def pod(name: str, *command: str, label: str | None = "true", where: str = "shop", **spec: Any) -> Document:
    """A pod without a sidecar: who it is by boto3, unless it is given a command; `spec` adds to it or replaces."""
    made = copy.deepcopy({**_SPEC, **spec})
    if command:
        made["containers"][0]["command"] = list(command)
    labels = {"app": name, **({INJECT: label} if label is not None else {})}
    metadata = {"name": name, "namespace": where, "labels": labels, "annotations": {**ASKED}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made}


def template(of: Document) -> Document:
    """The pod as a workload has it."""
    metadata = {name: value for name, value in of["metadata"].items() if name not in ("name", "namespace")}
    return {"metadata": metadata, "spec": of["spec"]}


def deployment(of: Document) -> Document:
    """One such pod, kept running."""
    labels = {"matchLabels": {"app": of["metadata"]["name"]}}
    metadata = {name: of["metadata"][name] for name in ("name", "namespace")}
    spec = {"replicas": 1, "selector": labels, "template": template(of)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def job(of: Document) -> Document:
    """One such pod, run to its end, once."""
    metadata = {name: of["metadata"][name] for name in ("name", "namespace")}
    made = template({**of, "spec": {**of["spec"], "restartPolicy": "Never"}})
    spec = {"backoffLimit": 0, "template": made}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
