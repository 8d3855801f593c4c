"""Which pods are sent where, by the selectors of the webhooks: each to one entry or to none, as the labels say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from tests.deploy.charts import BASE, CASES, golden, parsed
from tests.deploy.specs import Object

pytestmark = pytest.mark.deploy

INJECT = "credential-sidecar.io/inject"
RENDERS = [*(golden(case) for case in CASES), BASE / "injector.yaml"]
EACH = pytest.mark.parametrize("path", RENDERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
# What a label may say, among it what nobody means; None: there is no label.
SAID = (None, "true", "false", "True", "yes", "")
PATHS = {"pods": "/v1/pods", "namespaces": "/v1/pods", "unclear": "/v1/unclear"}


def webhooks(path: Path) -> list[Object]:
    """The entries of the render's configuration."""
    (found,) = (each for each in parsed(path.read_text()) if each["kind"] == "MutatingWebhookConfiguration")
    assert found["metadata"]["name"] < "pod-identity-webhook"  # the API server asks in this order
    return list(found["webhooks"])


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether the labels are selected, as Kubernetes reads a label selector."""
    listed = [holds(each, labels) for each in selector.get("matchExpressions", ())]
    return all(listed) and selector.get("matchLabels", {}).items() <= labels.items()


def holds(expression: Object, labels: Mapping[str, str]) -> bool:
    """One expression; NotIn is true of a label that is not there."""
    found = labels.get(expression["key"])
    answers = {
        "Exists": found is not None,
        "DoesNotExist": found is None,
        "In": found in expression.get("values", ()),
        "NotIn": found not in expression.get("values", ()),
    }
    return answers[expression["operator"]]


def fired(path: Path, namespace: Mapping[str, str], pod: Mapping[str, str]) -> list[str]:
    """The entries that the pod is sent to."""
    return [
        each["name"].removesuffix(".credential-sidecar.io")
        for each in webhooks(path)
        if matches(each["namespaceSelector"], namespace) and matches(each["objectSelector"], pod)
    ]


def labelled(said: str | None, **others: str) -> dict[str, str]:
    """Labels, with ours where something is said."""
    return others if said is None else {INJECT: said, **others}


def wanted(namespace: str | None, pod: str | None) -> list[str]:
    """What the design says: the pod's own label decides, and where it has none, its namespace's."""
    match pod, namespace:
        case "false", _:
            return []
        case str(), _:
            return ["pods"]
        case None, (None | "false"):
            return []
        case None, "true":
            return ["namespaces"]
        case _:
            return ["unclear"]


@EACH
@pytest.mark.parametrize("name", ["shop", "kube-system", "credential-sidecar"])
def test_every_pod_is_sent_to_the_one_entry_that_its_labels_say(name: str, path: Path) -> None:
    # The namespaces and pods that the values `selectors` choose, which the others do not ask about.
    space, object_ = {"kubernetes.io/metadata.name": name, "stage": "production"}, {"team": "orders"}
    for of_namespace, of_pod in product(SAID, SAID):
        found = fired(path, labelled(of_namespace, **space), labelled(of_pod, **object_))
        assert found == (wanted(of_namespace, of_pod) if name == "shop" else []), (of_namespace, of_pod)


@pytest.mark.parametrize(
    ("space", "pod"),
    [
        ({"kubernetes.io/metadata.name": "shop"}, {"team": "orders"}),
        ({"kubernetes.io/metadata.name": "shop", "stage": "production", "sandbox": ""}, {"team": "orders"}),
        ({"kubernetes.io/metadata.name": "shop", "stage": "production"}, {"team": "billing"}),
        ({"kubernetes.io/metadata.name": "cert-manager", "stage": "production"}, {"team": "orders"}),
    ],
    ids=["another stage", "a sandbox", "another team", "an exempt namespace"],
)
def test_what_the_values_do_not_choose_is_sent_nowhere(space: dict[str, str], pod: dict[str, str]) -> None:
    path = golden(CASES[0].with_stem("selectors"))
    assert [fired(path, labelled(one, **space), labelled(two, **pod)) for one, two in product(SAID, SAID)] == [[]] * 36


@EACH
def test_what_the_entries_say_beside_their_selectors_is_the_same(path: Path) -> None:
    for entry, (name, at) in zip(webhooks(path), PATHS.items(), strict=True):
        rest = {key: value for key, value in entry.items() if key not in ("namespaceSelector", "objectSelector")}
        assert rest.pop("clientConfig")["service"]["path"] == at
        assert rest == {
            "name": f"{name}.credential-sidecar.io",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore" if path.stem == "selectors" else "Fail",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                    "scope": "Namespaced",
                }
            ],
        }


def test_an_unknown_operator_is_no_answer() -> None:
    with pytest.raises(KeyError):
        holds({"key": INJECT, "operator": "Matches"}, {})
