"""Pods that are alike are injected alike, and no others: by the cases, and by pods with anything anywhere."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from sidecar.kube.annotations import REMEMBERED
from sidecar.kube.injection import Injector, inject
from sidecar.kube.reviews import say
from sidecar.kube.rollouts import LARGEST, Rollouts, Said, looked_at
from tests.kube.pods import BY_NAME, CASES, INJECTED, PREFIX, Case, Object, injector
from tests.kube.test_injection import nodes, replaced

DRAWN: Final = "kube-api-access-x7k2p"
# Whoever has a token of its own is like no other.
ALIKE: Final = [case for case in INJECTED if not inject(case.pod, case.injector).is_drawn]
ANYTHING: Final = [None, True, 7, "", "x", "true", "9911", [], [None], {}, {"name": "x"}, DRAWN]


def rollouts_by(by: Injector) -> Rollouts:
    return Rollouts(partial(say, by))


def told(pod: Any, by: Injector) -> Said | str:
    """What is said of a pod, or what is wrong with it."""
    try:
        return say(by, pod)
    except ConfigError as error:
        return str(error)


def remembered(pod: Any, rollouts: Rollouts) -> Said | str:
    try:
        return rollouts.said(pod)
    except ConfigError as error:
        return str(error)


def of_a_rollout(case: Case, drawn: str = DRAWN, name: str = "orders-7c9f-abcde") -> Object:
    """A pod of the case as the API server sends it: with its own name, and a token's volume that was drawn."""
    text, there = re.subn(r"kube-api-access-\w{5}\b", drawn, json.dumps(case.pod))
    pod: Object = json.loads(text)
    pod["metadata"] = {**pod.get("metadata", {}), "name": name, "uid": f"uid of {name}"}
    if not there:
        volume = {"name": drawn, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        pod["spec"]["volumes"] = [*(pod["spec"].get("volumes") or ()), volume]
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        for container in pod["spec"]["containers"]:
            mount = {"name": drawn, "readOnly": True, "mountPath": path}
            container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    return pod


@pytest.mark.parametrize("order", [CASES, CASES[::-1]], ids=["forth", "back"])
def test_what_is_remembered_is_what_is_found(order: Sequence[Case]) -> None:
    by = injector({"region": "eu-west-1"})
    rollouts = rollouts_by(by)
    for case in (*order, *order, *order):
        assert remembered(case.pod, rollouts) == told(case.pod, by), case.name


@pytest.mark.parametrize("case", ALIKE, ids=lambda case: case.name)
def test_pods_of_a_rollout_are_alike(case: Case) -> None:
    rollouts = rollouts_by(case.injector)
    rollouts.said(of_a_rollout(case))
    first = rollouts.said(of_a_rollout(case))
    assert rollouts.said(of_a_rollout(case, "kube-api-access-abcde", "orders-7c9f-fghij")) is first
    assert first == say(case.injector, of_a_rollout(case))


@given(
    st.sampled_from(CASES), st.integers(0), st.sampled_from(ANYTHING), st.sampled_from([DRAWN, "kube-api-access-bbbbb"])
)
def test_whoever_is_alike_is_injected_alike(case: Case, number: int, value: Any, drawn: str) -> None:
    one, other = of_a_rollout(case), of_a_rollout(case, drawn)
    ways = [way for way in nodes(other) if way]
    other = replaced(other, ways[number % len(ways)], value)
    one, other = (orjson.loads(json.dumps(pod)) for pod in (one, other))
    if looked_at(one) == looked_at(other):
        assert told(one, case.injector) == told(other, case.injector)


@pytest.mark.parametrize("text", [DRAWN, f"{DRAWN} and more", f'{{"name":"{DRAWN}","projected":'])
def test_a_drawn_name_that_says_something_is_looked_at(text: str) -> None:
    pods = [of_a_rollout(BY_NAME["plain"], drawn) for drawn in (DRAWN, "kube-api-access-abcde")]
    for pod in pods:
        name = pod["spec"]["volumes"][-1]["name"]
        pod["spec"]["containers"][0]["env"] = [{"name": "NO_PROXY", "value": text.replace(DRAWN, name)}]
    assert looked_at(pods[0]) != looked_at(pods[1])


def test_each_pod_gets_a_token_of_its_own() -> None:
    case, numbers = BY_NAME["token-variable"], count()
    rollouts = rollouts_by(replace(case.injector, random_token=lambda: f"token-{next(numbers)}"))
    texts = [b64decode(rollouts.said(of_a_rollout(case)).response["patch"]).decode() for _ in range(3)]
    assert [f"token-{number}" in text for number, text in enumerate(texts)] == [True] * 3
    assert "token-0" not in texts[1] + texts[2]


def test_a_denial_is_found_each_time() -> None:
    rollouts, pod = rollouts_by(injector()), {"metadata": {"name": "x"}, "spec": {"containers": []}}
    for _ in range(2):
        with pytest.raises(ConfigError):
            rollouts.said(pod)


def test_the_last_few_are_remembered_and_no_answer_that_is_long() -> None:
    case = BY_NAME["plain"]
    rollouts = rollouts_by(case.injector)

    def numbered(number: int, containers: int = 1) -> Object:
        pod = of_a_rollout(case)
        pod["metadata"]["annotations"]["number"] = f"{number}"
        [one] = pod["spec"]["containers"]
        pod["spec"]["containers"] = [{**one, "name": f"app-{at}"} for at in range(containers)]
        return pod

    def known(pod: Object) -> Said:
        rollouts.said(pod)
        return rollouts.said(pod)

    first = known(numbered(0))
    for number in range(1, REMEMBERED):
        known(numbered(number))
    assert rollouts.said(numbered(0)) is first
    known(numbered(REMEMBERED))
    assert rollouts.said(numbered(0)) is not first
    assert len(orjson.dumps(known(numbered(1, 99)).response)) > LARGEST
    assert known(numbered(1, 99)) is not rollouts.said(numbered(1, 99))


def test_of_a_pod_nothing_stays_but_its_answer() -> None:
    rollouts, pod = rollouts_by(injector()), of_a_rollout(BY_NAME["plain"])
    pod["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hunter2"}]
    assert rollouts.said(pod) == rollouts.said(pod) is rollouts.said(pod)
    assert "hunter2" not in repr(vars(rollouts))


def test_strangers_do_not_drive_out_a_rollout() -> None:
    case = BY_NAME["plain"]
    rollouts = rollouts_by(case.injector)
    rollouts.said(of_a_rollout(case))
    first = rollouts.said(of_a_rollout(case))
    for number in range(3 * REMEMBERED):
        stranger = of_a_rollout(case)
        stranger["metadata"]["annotations"]["number"] = f"{number}"
        rollouts.said(stranger)
    assert rollouts.said(of_a_rollout(case)) is first


def test_what_is_no_pod_and_what_is_too_deep_is_like_no_other() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    nobody: list[Any] = [None, [], {}, {"metadata": {}}, {"metadata": [], "spec": {}}]
    for wrong in [*nobody, {"metadata": {}, "spec": {"x": deep}}]:
        assert looked_at(wrong) == b""


def test_a_label_that_says_nothing_is_like_none_and_unlike_what_is_wrong() -> None:
    def labelled(labels: Any) -> bytes:
        return looked_at({"metadata": {"labels": labels}, "spec": {}})

    name = f"{PREFIX}inject"
    alike = {labelled(labels) for labels in (None, {}, {"app": "orders"}, {name: "true"})}
    wrong: list[Any] = [None, True, "false", "", []]
    others = {labelled({name: said}) for said in wrong}
    assert (len(alike), len(others), alike & others) == (1, 5, set())
    assert labelled("true") == labelled(["true"]) == labelled("") == labelled([]) == b""
