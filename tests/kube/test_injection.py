"""Injection by properties: what nobody knows is kept, what is no pod is refused, and twice is once."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from sidecar.kube.injection import inject
from sidecar.kube.patches import apply
from tests.kube.defaults import limited, served
from tests.kube.judge import excesses, trespasses
from tests.kube.pods import BY_NAME, DRAWN, INJECTED, PREFIX, Case, Object, injected, injector, patched

# As the API server sends them: one in a mesh, one that was injected before; and one of a manifest.
REALISTIC: Final = ("istio-native", "again-with-two-targets", "no-proxy-without-loopback")
TYPES: Final = [None, True, 7, -1.5, "x", "9911", [], [None], {}, {"name": None}]
MANY: Final = 200

_keys = st.one_of(
    st.text(min_size=1, max_size=12), st.sampled_from(["a/b", "~", "~1", "~0", "/", "é/~", "\ud800", "env "])
)
# What Kubernetes has no field for, nor injection an eye.
_unknown = _keys.map(lambda key: f"x-{key}")
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=6,
)


def nodes(found: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in it."""
    yield way
    entries = enumerate(found) if isinstance(found, list) else found.items() if isinstance(found, dict) else ()
    for key, value in entries:
        yield from nodes(value, (*way, key))


def at(found: Any, way: tuple[Any, ...]) -> Any:
    """What stands there."""
    for key in way:
        found = found[key]
    return found


def replaced(found: Any, way: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there."""
    if not way:
        return copy.deepcopy(value)
    changed = copy.deepcopy(found)
    at(changed, way[:-1])[way[-1]] = copy.deepcopy(value)
    return changed


def attempted(pod: Any) -> Any:
    """What comes of it; None where it is refused. Anything else that happens is a bug."""
    try:
        injection = inject(pod, injector())
    except ConfigError as error:
        told(error)
        return None
    return patched(pod, injection)


def told(error: ConfigError) -> None:
    """Asserts that a denial says something."""
    assert error.problems
    assert all(problem.remedy for problem in error.problems)
    assert str(error).encode("utf-8", "backslashreplace")


def text(found: Any) -> str:
    """Where 1, 1.0 and true are three things."""
    return json.dumps(found, sort_keys=True)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example])
@given(
    case=st.sampled_from(INJECTED),
    unknown=st.lists(st.tuples(st.integers(0), _unknown, _values), min_size=1, max_size=MANY),
)
def test_unknown_fields_at_every_level_are_kept_bit_for_bit(case: Case, unknown: list[tuple[int, str, Any]]) -> None:
    pod = case.pod
    known = [way for way in nodes(pod) if isinstance(at(pod, way), dict)]
    for number, key, value in unknown:
        at(pod, known[number % len(known)])[key] = copy.deepcopy(value)
    before = text(pod)
    after = injected(pod, case.injector)
    assert text(pod) == before
    assert list(trespasses(pod, after)) == []
    assert list(excesses(pod, inject(pod, case.injector).operations)) == []
    assert inject(after, case.injector).operations == ()


def test_a_pod_with_200_unknown_fields_in_one_place_keeps_them_all() -> None:
    for way in [
        ("spec",),
        ("metadata",),
        ("spec", "containers", 0),
        ("metadata", "labels"),
        ("metadata", "annotations"),
    ]:
        pod = BY_NAME["as-the-api-server-sends-it"].pod
        fields = {f"example.com/~{number}": "\u202e" * number for number in range(MANY)}
        at(pod, way).update(fields)
        found = at(injected(pod), way)
        assert {key: found[key] for key in fields} == fields


@given(case=st.sampled_from(INJECTED), chance=st.randoms(use_true_random=False))
def test_in_whatever_order_containers_and_variables_come_they_stay_in_it(case: Case, chance: Random) -> None:
    pod = case.pod
    for field in ("initContainers", "containers", "volumes"):
        chance.shuffle(pod["spec"].get(field) or [])
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        chance.shuffle(container.get("env") or [])
        chance.shuffle(container.get("volumeMounts") or [])
    after = injected(pod, case.injector)
    assert list(trespasses(pod, after)) == []
    for again in (after, served(after), limited(served(after))):
        assert inject(again, case.injector).operations == ()
    names = [each["name"] for each in after["spec"].get("initContainers") or ()]
    if "credential-sidecar" in names:
        proxies = [
            number
            for number, each in enumerate(after["spec"]["initContainers"])
            if each["name"] in ("istio-proxy", "linkerd-proxy") and each.get("restartPolicy") == "Always"
        ]
        assert names.index("credential-sidecar") == max(proxies, default=-1) + 1


@given(case=st.sampled_from(INJECTED), number=st.integers(0))
def test_whatever_another_webhook_takes_out_of_a_container_comes_back(case: Case, number: int) -> None:
    done = case.expected
    given_to = [each for each in done["spec"]["containers"] if each not in case.pod["spec"]["containers"]]
    if not given_to:
        return
    container = given_to[number % len(given_to)]
    (was,) = (each for each in case.pod["spec"]["containers"] if each["name"] == container["name"])
    ours = [each for each in container["env"] if each["name"] not in [old["name"] for old in was.get("env") or ()]]
    lost = ours[number % len(ours)] if ours else None
    container["env"] = [each for each in container["env"] if each != lost]
    container["volumeMounts"] = was.get("volumeMounts") or []
    after = injected(done, case.injector)
    assert list(trespasses(done, after)) == []
    (found,) = (each for each in after["spec"]["containers"] if each["name"] == container["name"])
    assert lost is None or lost in found["env"]
    assert inject(after, case.injector).operations == ()


@pytest.mark.parametrize("name", REALISTIC)
@pytest.mark.parametrize("value", TYPES, ids=ascii)
def test_any_value_anywhere_is_injected_or_refused(name: str, value: Any) -> None:
    pod = BY_NAME[name].pod
    done = 0
    for way in nodes(pod):
        changed = replaced(pod, way, value)
        before = text(changed)
        after = attempted(changed)
        assert text(changed) == before, way
        if after is not None:
            done += 1
            assert list(trespasses(changed, after)) == [], way
    assert done, "nothing was left to inject"


@pytest.mark.parametrize("name", REALISTIC)
def test_whatever_is_missing_the_pod_is_injected_or_refused(name: str) -> None:
    pod = BY_NAME[name].pod
    for way in nodes(pod):
        if way:
            changed = copy.deepcopy(pod)
            del at(changed, way[:-1])[way[-1]]
            attempted(changed)


@given(_values)
@example([])
@example("pod")
@example({"spec": {"containers": [{"name": "app"}]}})
@example({"metadata": None, "spec": {"containers": [{"name": "app", "env": [{"name": "A"}, {"name": "A"}]}]}})
def test_whatever_is_no_pod_is_refused(found: Any) -> None:
    attempted(found)
    attempted({"metadata": found, "spec": found})
    attempted({"metadata": {"annotations": found, "labels": found}, "spec": {"containers": found}})
    attempted({"metadata": {}, "spec": {"containers": [found, {"name": found, "env": found, "ports": found}]}})


@given(st.dictionaries(_keys.map(PREFIX.__add__), _values, max_size=8), st.dictionaries(_keys, st.text(), max_size=8))
def test_whatever_the_annotations_are_the_pod_is_injected_or_refused(
    annotations: dict[str, Any], defaults: dict[str, str]
) -> None:
    pod = BY_NAME["plain"].pod
    pod["metadata"]["annotations"] |= annotations
    try:
        inject(pod, injector(defaults))
    except ConfigError as error:
        told(error)


def test_a_pod_without_metadata_gets_the_list_of_skipped_containers_with_it() -> None:
    pod: Object = {"spec": {"containers": [{"name": "app", "image": "app"}]}}
    roles = {name.removeprefix(PREFIX): text for name, text in BY_NAME["plain"].pod["metadata"]["annotations"].items()}
    after = injected(pod, injector(roles))
    assert after["metadata"] == {"annotations": {"eks.amazonaws.com/skip-containers": "credential-sidecar,app"}}


def _named(count: int) -> list[Object]:
    return [{"name": f"c{number}"} for number in range(count)]


# Each a review of less than a megabyte that anybody may send who may create a pod.
EXCESSIVE: Final[dict[str, Object]] = {
    "containers": {"spec": {"containers": _named(50_000)}},
    "init containers": {"spec": {"initContainers": _named(50_000), "containers": _named(1)}},
    "what is no container": {"spec": {"containers": [0] * 300_000}},
    "what is no variable": {"spec": {"containers": [{"name": "app", "env": [0] * 300_000}]}},
    "unknown annotations": {
        "metadata": {"annotations": {f"{PREFIX}{number}": "" for number in range(30_000)}},
        "spec": {"containers": _named(1)},
    },
    "unknown containers": {
        "metadata": {"annotations": {f"{PREFIX}containers": ",".join(f"u{number}" for number in range(800))}},
        "spec": {"containers": [{"name": f"{'c' * 59}{number}"} for number in range(200)]},
    },
}


@pytest.mark.parametrize("pod", EXCESSIVE.values(), ids=EXCESSIVE)
def test_a_denial_is_no_longer_than_somebody_reads_whatever_is_too_much(pod: Object) -> None:
    roles = {name.removeprefix(PREFIX): text for name, text in BY_NAME["plain"].pod["metadata"]["annotations"].items()}
    with pytest.raises(ConfigError) as denied:
        inject(pod, injector(roles))
    assert len(str(denied.value)) < 50_000


def test_chance_is_asked_once_and_only_for_a_variable() -> None:
    asked: list[str] = []

    def draw() -> str:
        asked.append(DRAWN)
        return DRAWN

    by = injector()
    by = type(by)(image=by.image, defaults={}, random_token=draw)
    inject(BY_NAME["plain"].pod, by)
    assert asked == []
    inject(BY_NAME["token-variable"].pod, by)
    assert asked == [DRAWN]
    inject(BY_NAME["token-variable"].expected, by)
    assert asked == [DRAWN]


@pytest.mark.parametrize(("said", "is_shared"), [({}, True), ({f"{PREFIX}token-variable": "true"}, False)])
def test_what_is_added_is_shared_but_for_a_pod_with_a_token_of_its_own(said: Object, is_shared: bool) -> None:
    pod = copy.deepcopy(BY_NAME["plain"].pod)
    pod["metadata"]["annotations"] |= said
    one, other = (inject(pod, injector()).operations for _ in range(2))
    pairs = [(a["value"], b["value"]) for a, b in zip(one, other, strict=True) if a["path"] == "/spec/initContainers"]
    assert [a[0] is b[0] for a, b in pairs] == [is_shared]


def test_what_is_written_over_an_injected_pod_reaches_no_other_injection() -> None:
    case = BY_NAME["resources"]
    before = copy.deepcopy(inject(case.pod, case.injector))
    pod = copy.deepcopy(case.pod)
    apply(before.operations, pod)
    injected = [at(pod, way) for way in nodes(pod)]
    for part in injected:
        if isinstance(part, dict | list):
            part.clear()
    assert inject(case.pod, case.injector) == before
