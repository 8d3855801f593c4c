"""Every annotation wrong in every way: denied, by its name, with a remedy, and all of them at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from sidecar.errors import ConfigError, Problem
from sidecar.kube.annotations import ANNOTATIONS, ask
from sidecar.kube.injection import inject
from tests.builders import ROLE_A, ROLE_B
from tests.kube.pods import BY_NAME, PREFIX, injector

POLICY: Final = '{"Version": "2012-10-17", "Statement": []}'
ROLES: Final = {"source-role-arn": str(ROLE_A), "target-role-arn": str(ROLE_B), "region": "eu-west-1"}
DIRECT: Final = {**ROLES, "target-role-arn": "direct"}
BY_PROFILES: Final = {"profiles": "orders,invoices", "config-map": "profiles", "region": "eu-west-1"}
# A value of each that is right.
RIGHT: Final = {
    **ROLES,
    **BY_PROFILES,
    "session-name": "shop.orders",
    "duration": "3600",
    "source-duration": "3600",
    "external-id": "b7c1",
    "source-identity": "orders",
    "session-tags": "team=shop",
    "policy": POLICY,
    "policy-arns": "arn:aws:iam::aws:policy/ReadOnlyAccess",
    "sts-fallback-regions": "eu-central-1",
    "sts-endpoint-url": "https://sts.eu-west-1.amazonaws.com",
    "log-level": "info",
    "containers": "app",
    "resources": '{"limits": {"memory": "128Mi"}}',
    "token-variable": "true",
    "readiness": "true",
    "audience": "sts.amazonaws.com",
    "https-proxy": "http://proxy.example.com:3128",
    "port": "9931",
    "status-port": "9932",
    "run-as-user": "none",
}

BOOLEANS: Final = [
    "True",
    "TRUE",
    "FALSE",
    "yes",
    "no",
    "on",
    "off",
    "1",
    "0",
    "t",
    "true,",
    " true",
    "true\n",
    "ｔrue",
]
PORTS: Final = [
    "0",
    "-1",
    "65536",
    "99999",
    "1e4",
    "9911.0",
    "+9931",
    "0x26cb",
    "http",
    "9931 ",
    "٩٩٣١",
    "127.0.0.1:9931",
]
SECONDS: Final = ["899", "0", "-900", "43201", "3600.0", "1h", "3600s", "٣٦٠٠", "0xe10", "+3600", "1e3", "3_600"]
ARNS: Final = [
    "role/account-b-role",
    "arn:aws:iam::444455556666:user/me",
    "arn:aws:iam::444455556666:role/",
    "arn:aws:iam::44445555666:role/b",
    "arn:aws:iam::４４４４５５５５６６６６:role/b",
    "arn:gcp:iam::444455556666:role/b",
    "arn:aws:sts::444455556666:assumed-role/b/session",
    "arn:aws:iam::444455556666:role/a b",
]
URLS: Final = [
    "proxy.example.com:3128",
    "ftp://proxy.example.com",
    "http://",
    "https://",
    "http://a b",
    "//proxy",
    "http",
]
MANY: Final = ",".join(f"tag{number}=x" for number in range(51))
TEN: Final = ",".join(f"arn:aws:iam::aws:policy/P{number}" for number in range(11))
# What each must not be, beside what none may be.
WRONG: Final[Mapping[str, list[str]]] = {
    "source-role-arn": [*ARNS, "direct"],
    "target-role-arn": [*ARNS, "Direct", "DIRECT", "none"],
    "profiles": ["a b", "a/b", "a,,b", ",", "a,a", "orders,", "..", "a" * 65, "a=b", "é"],
    "config-map": ["Orders", "a b", "a/b", "-a", "a-", "a..b", "a_b", "a" * 64 + "/", ".".join(["a" * 60] * 5)],
    "region": ["EU-WEST-1", "Ireland", "eu_west_1", "eu west 1", "eu-", "eu-west-1,eu-central-1", "eu–west–1"],
    "session-name": ["a", "a" * 65, "shop/orders", "shop:orders", "é" * 4, "a b"],
    "duration": [*SECONDS, "3601", "43200"],
    "source-duration": SECONDS,
    "external-id": ["a", "a" * 1225, "a b", "é" * 3, 'a"b'],
    "source-identity": ["a", "a" * 65, "a/b", "a b"],
    "session-tags": [
        "team",
        "=shop",
        "aws:team=shop",
        "team=a,Team=b",
        "team=a,,b=c",
        MANY,
        "k" * 129 + "=v",
        "k=" + "v" * 257,
    ],
    "policy": ["{", "[]", "null", "7", "{}x", "allow", json.dumps({"x": "x" * 2048}), "[" * 2000, '{"x": "日本"}'],
    "policy-arns": [
        "ReadOnlyAccess",
        TEN,
        "arn:aws:iam::aws:policy/A,arn:aws:iam::aws:policy/A",
        "arn:aws:iam::aws:role/A",
    ],
    "sts-fallback-regions": ["Ireland", "eu-central-1,eu-central-1", "eu-central-1,", "eu-central-1;eu-north-1"],
    "sts-endpoint-url": [*URLS, "sts.eu-west-1.amazonaws.com"],
    "log-level": ["INFO", "Debug", "trace", "warn", "0"],
    "containers": ["app,", ",", "app,app", "App", "app=", "=x", "app==x", "a_b", "a" * 64, "app;worker", "*"],
    "resources": [
        *(
            "{",
            "{}",
            "[]",
            "null",
            "7",
            '"64Mi"',
            '{"memory": "64Mi"}',
            '{"limits": null}',
            '{"limits": []}',
            "[" * 4000,
        ),
        *('{"limits": {"memory": "lots"}}', '{"limits": {"memory": true}}', '{"limits": {"memory": null}}'),
        *('{"limits": {"memory": ["64Mi"]}}', '{"limits": {"memory": "-64Mi"}}', '{"limits": {"memory": NaN}}'),
        *('{"limits": {"memory": "64 Mi"}}', '{"limits": {"memory": "٦٤Mi"}}', '{"requests": {}, "claims": []}'),
        *('{"limits": {"memory": 18446744073709551616}}', '{"limits": {"\\ud800": "1"}}'),  # no JSON that others read
    ],
    "token-variable": BOOLEANS,
    "readiness": BOOLEANS,
    "audience": ["a b", "é", "a" * 257, " sts.amazonaws.com"],
    "https-proxy": URLS,
    "port": [*PORTS, "80", "1023"],
    "status-port": [*PORTS, "80", "1023"],
    "run-as-user": ["0", "-1", "root", "None", "1.5", "59911:59911", "007", "99999999999"],
}
NOBODYS: Final = ["", " ", "\t\n", "\0", "a\0b", "a\nb", "a\r\nb", "\x1b[31m", "\u202eba", "\ud800", "x" * 5000]
CASES: Final = [(name, value) for name in ANNOTATIONS for value in [*WRONG[name], *NOBODYS]]
NOT_TEXTS: Final = [True, False, 7, 1.5, None, [], ["true"], {}, {"a": "b"}]


def around(name: str) -> dict[str, str]:
    """The annotations with which that one can stand."""
    return BY_PROFILES if name in ("profiles", "config-map") else ROLES


def problems(annotations: Mapping[str, Any], defaults: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """What is wrong with a pod that has those annotations, by their bare names."""
    pod = BY_NAME["plain"].pod
    pod["metadata"]["annotations"] = {PREFIX + name: text for name, text in annotations.items()}
    with pytest.raises(ConfigError) as denied:
        inject(pod, injector(defaults))
    assert all(problem.wrong and re.search(r"[.?]$", problem.remedy) for problem in denied.value.problems)
    return denied.value.problems


def named(found: tuple[Problem, ...]) -> set[str]:
    """The settings that they name."""
    return {problem.setting for problem in found}


def shown(value: object) -> str:
    """A test's name in ASCII, and not a long one."""
    return ascii(value)[:40]


def test_the_tables_here_have_every_annotation() -> None:
    assert set(WRONG) == set(RIGHT) == set(ANNOTATIONS)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_what_is_right_is_no_problem(name: str) -> None:
    ask({PREFIX + each: text for each, text in {**around(name), name: RIGHT[name]}.items()}, {})


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{n} {shown(v)}" for n, (_, v) in enumerate(CASES)])
def test_what_is_wrong_is_denied_by_its_name(name: str, value: str) -> None:
    found = problems({**around(name), name: value})
    assert f"{PREFIX}{name}" in named(found)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_what_is_too_long_is_not_repeated(name: str) -> None:
    assert len("\n".join(map(str, problems({**around(name), name: "x" * 5000})))) < 2_000


@pytest.mark.parametrize("value", NOT_TEXTS, ids=shown)
@pytest.mark.parametrize("name", ANNOTATIONS)
def test_what_is_no_text_is_denied(name: str, value: object) -> None:
    (problem,) = problems({**around(name), name: value})
    assert problem.setting == f"{PREFIX}{name}"
    assert "quotes" in problem.remedy


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_what_the_injector_says_for_all_is_held_to_the_same(name: str) -> None:
    for value in [*WRONG[name], *NOBODYS]:
        found = [each for each in problems({}, {**around(name), name: value}) if each.setting == f"{PREFIX}{name}"]
        assert found, value
        assert all("--set" in problem.source for problem in found)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("target-role-anr", "target-role-arn"),
        ("targetRoleArn", "target-role-arn"),
        ("regoin", "region"),
        ("Region", "region"),
        ("profile", "profiles"),
        ("container", "containers"),
        ("token-variables", "token-variable"),
        ("tokenVariable", "token-variable"),
        ("externalid", "external-id"),
        ("status_port", "status-port"),
        ("configmap", "config-map"),
        ("log_level", "log-level"),
    ],
)
def test_a_slip_of_the_pen_is_told_what_was_meant(name: str, near: str) -> None:
    (problem,) = problems({**ROLES, name: "x"})
    assert (problem.setting, problem.wrong) == (f"{PREFIX}{name}", "no such annotation")
    assert problem.remedy == f"Did you mean {PREFIX}{near}?"


@pytest.mark.parametrize("name", ["", "zzz", "SIDECAR_DURATION", "AWS_REGION", "a/b", "日本", "\ud800"], ids=shown)
def test_what_nothing_is_near_to_is_unknown_all_the_same(name: str) -> None:
    (problem,) = problems({**ROLES, name: "x"})
    assert (problem.setting, problem.wrong) == (f"{PREFIX}{name}", "no such annotation")


def test_a_value_under_a_name_that_is_unknown_is_not_repeated() -> None:
    (problem,) = problems({**ROLES, "htps-proxy": "http://user:password@proxy"})
    assert problem.remedy == f"Did you mean {PREFIX}https-proxy?"
    assert "password" not in str(problem)


def test_the_label_is_no_annotation() -> None:
    (problem,) = problems({**ROLES, "inject": "true"})
    assert "label" in problem.wrong
    assert "labels" in problem.remedy


@pytest.mark.parametrize(
    "name", ["eks.amazonaws.com/role-arn", "credential-sidecar.io", "x.credential-sidecar.io/port"]
)
def test_others_annotations_are_not_looked_at(name: str) -> None:
    asked = ask({**{PREFIX + each: text for each, text in ROLES.items()}, name: 7}, {})
    assert asked is ask({PREFIX + each: text for each, text in ROLES.items()}, {})


# What is said, the annotations to blame for it, and a word of what is said of them.
TOGETHER: Final[list[tuple[Mapping[str, str], str, str]]] = [
    ({**BY_PROFILES, "source-role-arn": RIGHT["source-role-arn"]}, "source-role-arn", "profile"),
    ({**BY_PROFILES, "target-role-arn": RIGHT["target-role-arn"]}, "target-role-arn", "profile"),
    ({**BY_PROFILES, "target-role-arn": "direct"}, "target-role-arn", "profile"),
    *(
        ({**BY_PROFILES, name: RIGHT[name]}, name, "profile")
        for name in ("session-name", "duration", "source-duration", "external-id", "source-identity")
    ),
    *(({**BY_PROFILES, name: RIGHT[name]}, name, "profile") for name in ("session-tags", "policy", "policy-arns")),
    ({"profiles": "orders", "region": "eu-west-1"}, "config-map", "config"),
    ({**ROLES, "config-map": "orders"}, "config-map", "profiles"),
    *(
        ({**DIRECT, name: RIGHT[name]}, name, "AssumeRoleWithWebIdentity")
        for name in ("external-id", "source-identity", "session-tags")
    ),
    ({**ROLES, "duration": "3601"}, "duration", "3600"),
    ({**ROLES, "target-role-arn": "arn:aws-cn:iam::444455556666:role/b"}, "target-role-arn", "partition"),
    ({**ROLES, "policy-arns": "arn:aws-cn:iam::aws:policy/A"}, "policy-arns", "partition"),
    (
        {**ROLES, "sts-endpoint-url": RIGHT["sts-endpoint-url"], "sts-fallback-regions": "eu-north-1"},
        "sts-fallback-regions",
        "endpoint",
    ),
    ({**ROLES, "port": "9931", "status-port": "9931"}, "status-port", "one port"),
    ({**ROLES, "port": "9912"}, "port", "one port"),
    ({**ROLES, "status-port": "9911"}, "status-port", "one port"),
    ({**ROLES, "containers": "app=default,app=orders"}, "containers", "twice"),
    ({**ROLES, "containers": "app=orders"}, "containers", "no such target"),
    ({**BY_PROFILES, "containers": "app=Orders"}, "containers", "orders, invoices"),
    ({**ROLES, "containers": "app,sidecar"}, "containers", "no such container"),
    ({**ROLES, "containers": "credential-sidecar"}, "containers", "no such container"),
    ({}, "source-role-arn target-role-arn region", "direct"),
    ({"region": "eu-west-1"}, "source-role-arn target-role-arn", "OIDC provider"),
    ({**ROLES, "duration": "1h", "region": "Ireland", "port": "x"}, "duration region port", "9921"),
]


@pytest.mark.parametrize(("annotations", "blamed", "said"), TOGETHER, ids=[str(n) for n, _ in enumerate(TOGETHER)])
def test_what_cannot_stand_together_is_said_of_the_one_to_change(
    annotations: Mapping[str, str], blamed: str, said: str
) -> None:
    found = problems(annotations)
    assert named(found) == {PREFIX + name for name in blamed.split()}
    assert said in "\n".join(map(str, found))
    assert "SIDECAR_" not in "\n".join(map(str, found)), "a pod knows annotations, not the sidecar's settings"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    wrong = {name: values[0] for name, values in WRONG.items() if name not in ("profiles", "config-map")}
    found = problems(wrong | {"regoin": "x", "inject": "true"})
    assert named(found) == {PREFIX + name for name in (*wrong, "regoin", "inject")}
    assert len(found) == len(set(found))


def test_problems_come_in_an_order_that_does_not_change() -> None:
    """Two replicas of the webhook say the same, and events that say the same are counted as one."""
    unknown = [f"{letter}{letter}{letter}" for letter in "abcdefgh"]
    assert [each.setting for each in problems({**ROLES, **dict.fromkeys(unknown, "x")})] == [
        PREFIX + n for n in unknown
    ]
    (problem,) = problems({**ROLES, "containers": ",".join(unknown[::-1])})
    assert problem.value == ", ".join(unknown[::-1])


def test_what_is_wrong_with_the_pod_is_said_with_it() -> None:
    pod = BY_NAME["host-network"].pod
    pod["metadata"]["annotations"][f"{PREFIX}readiness"] = "yes"
    with pytest.raises(ConfigError) as denied:
        inject(pod, injector())
    assert named(denied.value.problems) == {"spec.hostNetwork", f"{PREFIX}readiness"}


def test_a_pods_word_outranks_the_injectors_and_a_way_the_other_way() -> None:
    roles = {PREFIX + name: text for name, text in ROLES.items()}
    profiles = {PREFIX + name: text for name, text in BY_PROFILES.items()}
    assert ask(roles, {**ROLES, "region": "us-east-1"}).settings["AWS_REGION"] == "eu-west-1"
    assert ask(roles, BY_PROFILES).is_plain
    assert not ask(profiles, {**ROLES, "duration": "900"}).is_plain
    assert ask({}, {**ROLES, "port": "9931"}).port == 9931


def test_what_is_said_for_all_pods_counts_as_well() -> None:
    half = "x" * 9_000
    with pytest.raises(ConfigError) as caught:
        ask({f"{PREFIX}one": half}, {"other": half})
    (problem,) = caught.value.problems
    assert "more than 16384 characters together" in problem.wrong
