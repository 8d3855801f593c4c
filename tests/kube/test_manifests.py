"""Manifests in, manifests out: who is injected, what is said of it, and every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from sidecar.errors import ConfigError
from sidecar.kube.injection import inject
from sidecar.kube.manifests import Manifest, inject_all
from tests.kube.opinions import LABEL, PLAIN, injected, injector, loaded, patched

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {labels}
spec:
  containers:
  - name: app
    image: app
"""


def pod(name: str = "orders", **labels: str) -> str:
    said = ", ".join(f'credential-sidecar.io/{key}: "{value}"' for key, value in labels.items())
    return POD.format(name=name, labels=f"{{{said}}}")


def told(
    *texts: str, settings: Mapping[str, str] = PLAIN, is_labelled_only: bool = False
) -> tuple[list[str], list[str]]:
    """What becomes of manifests called 1.yaml, 2.yaml, …, and what is said of it."""
    given = [Manifest(name=f"{at}.yaml", before=text) for at, text in enumerate(texts, 1)]
    one = partial(inject, injector=injector(settings))
    manifests, sentences = inject_all(given, one, is_labelled_only=is_labelled_only)
    return [each.after for each in manifests], [*sentences]


def problems(*texts: str, settings: Mapping[str, str] = PLAIN) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        told(*texts, settings=settings)
    return str(caught.value).splitlines()


def test_what_was_done_is_said_of_each_workload() -> None:
    texts, sentences = told(pod("one") + "---\n" + pod("two", inject="false"), pod("three"))
    assert [text.count("restartPolicy: Always") for text in texts] == [1, 1]
    assert [each.partition(": ")[0] for each in sentences] == ["pod one", "pod two", "pod three"]
    assert sentences[0].startswith("pod one: injected: annotation eks.amazonaws.com/skip-containers names")
    assert "; container app asks for target default" in sentences[0]
    assert sentences[1] == f'pod two: left alone: its pods are labelled {LABEL}: "false"'


def test_what_has_everything_is_left_as_it_was_and_so_it_is_said() -> None:
    after = injected(pod())
    assert told(after) == ([after], ["pod orders: as it was: it has everything"])


def test_only_labelled_pods_where_that_is_asked_for() -> None:
    text = "---\n".join((pod("one"), pod("two", inject="true"), pod("three", inject="false")))
    (after,), sentences = told(text, is_labelled_only=True)
    assert after.startswith(pod("one"))
    assert after.endswith(pod("three", inject="false"))
    assert after.count("name: credential-sidecar\n") == 1
    assert [each.partition(" names")[0] for each in sentences] == [
        f"pod one: left alone: its pods have no label {LABEL}",
        "pod two: injected: annotation eks.amazonaws.com/skip-containers",
        f'pod three: left alone: its pods are labelled {LABEL}: "false"',
    ]


@pytest.mark.parametrize("value", ["'True'", "true", "yes", "''", "~", "1"])
def test_a_label_that_says_neither_is_a_problem(value: str) -> None:
    (problem,) = problems(pod().replace("{}", f"{{{LABEL}: {value}}}"))
    assert "1.yaml:1, pod orders, the pod's label" in problem
    assert "neither true nor false" in problem


def test_warnings_follow_what_was_done() -> None:
    text = pod().replace("spec:\n", "spec:\n  shareProcessNamespace: true\n")
    _, (_, sentence) = told(text)
    assert sentence.startswith("pod orders: warning: shareProcessNamespace")


def test_what_only_the_webhook_can_inject_and_what_is_on_the_wrong_object_is_warned_of() -> None:
    template = "spec: {template: {spec: {containers: [{name: app}]}}}\n"
    rollout = f"apiVersion: example.com/v1\nkind: Rollout\nmetadata: {{name: a}}\n{template}"
    stray = "{name: b, annotations: {credential-sidecar.io/region: eu-west-3}}"
    deployment = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {stray}\n{template}"
    (after, _), (first, _, third) = told(rollout, deployment)
    assert after == rollout
    assert first.startswith("rollout a: warning: left alone")
    assert third.startswith("deployment b: warning: metadata.annotations has credential-sidecar.io/region")


def test_nothing_to_inject_is_said_too() -> None:
    assert told("kind: ConfigMap\n", "") == (
        ["kind: ConfigMap\n", ""],
        ["there is no workload in what was given: it was left as it was"],
    )


def test_all_problems_of_all_manifests_are_told_with_their_places() -> None:
    host = pod("host").replace("spec:\n", "spec:\n  hostNetwork: true\n  hostPID: true\n")
    twice = "# c\na: 1\na: 2\nb: {c: 1, c: 1}\n"
    found = problems("a: [\n", pod("fine") + "---\n" + host, twice, pod().replace("{}", f"{{{LABEL}: on}}"))
    assert [line.partition("): ")[0] for line in found] == [
        "YAML (from 1.yaml:2:1",
        "spec.hostNetwork='true' (from 2.yaml:11, pod host, the pod",
        "YAML (from 3.yaml:3:1",
        "YAML (from 3.yaml:4:11",
        f"{LABEL}='True' (from 4.yaml:1, pod orders, the pod's label",
    ]


def test_the_problems_of_a_list_are_at_the_lines_of_its_items() -> None:
    item = "- {apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {hostNetwork: true, containers: [{name: a}]}}\n"
    found = problems("kind: List\nitems:\n" + item % "one" + "# c\n" + item % "two")
    assert [line.partition("(from ")[2].partition(", the pod")[0] for line in found] == [
        "1.yaml:3, pod one",
        "1.yaml:5, pod two",
    ]


def test_of_a_document_that_says_a_key_twice_nothing_else_is_told() -> None:
    text = pod().replace("spec:\n", "spec:\n  hostNetwork: false\n  hostNetwork: true\n")
    assert [line.partition("): ")[0] for line in problems(text)] == ["YAML (from 1.yaml:8:3"]


def test_pods_that_are_no_pods_are_problems_and_no_tracebacks() -> None:
    texts = ["spec: 1\n", "spec: {containers: 1}\n", "spec: {containers: [1]}\n", "metadata: []\nspec: {}\n", ""]
    for text in texts:
        assert problems(f"apiVersion: v1\nkind: Pod\n{text}")


def test_yaml_that_cannot_be_added_to_is_a_problem() -> None:
    (problem,) = problems(pod().replace("  name: orders\n", "  &a\n  ? name\n  : orders\n"))
    assert problem.startswith("YAML (from 1.yaml:1): its YAML is written in a way that nothing can be added to")


def test_other_documents_are_given_byte_for_byte() -> None:
    before = "\ufeff%YAML 1.1\n# c\n---\r\na:   0644 # x \n...\n# between\n---\n"
    after = "---\n\n--- # c\n- &a [1,\n  2]\n- *a\n...\n...\n---\n---"
    found = injected(before + pod() + after)
    assert found.startswith(before)
    assert found.endswith(after)
    assert loaded(found.replace("%YAML 1.1\n", "")) == patched((before + pod() + after).replace("%YAML 1.1\n", ""))
    assert injected(found) == found


def test_what_is_there_keeps_the_text_it_was() -> None:
    odd = ["mode: 0644", "switch: on", "number: 1e3", 'zero: "08"', "nothing: ~", "day: 2026-01-01T00:00:00Z"]
    odd += [
        "big: 123456789012345678901",
        "text: 'it''s'",
        f"wide: {'word ' * 60}",
        "flow: { a: 1,b: [x,",
        "  y ] }",
        "none:",
    ]
    where = "metadata:\n  annotations:\n" + "".join(f"    {line}\n" for line in odd)
    text = pod().replace("metadata:\n", where)
    after = injected(text)
    assert where in after
    assert [line for line in after.splitlines() if line in text.splitlines()] == text.splitlines()
