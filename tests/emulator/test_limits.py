"""Every limit of a parameter: the last value that is legal and the first that is not, through HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.emulator import Emulator, Kubelet, allow
from sidecar.emulator.limits import Asked, packed_size
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.world import RoleArn
from tests.emulator.stock import ROLE_A, ROLE_B, ask, first, post, refused, second, source_of


def tags(count: int, key: str = "k", value: str = "v") -> list[dict[str, str]]:
    return [{"Key": f"{key}{number}", "Value": value} for number in range(count)]


@pytest.fixture
async def source(sts: Emulator, kubelet: Kubelet) -> dict[str, Any]:
    """Account A's credentials in a world where tags and source identities are allowed."""
    every = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    a, b = sts.world.role(ROLE_A), sts.world.role(ROLE_B)
    assert a is not None
    assert b is not None
    a = replace(a, permissions=(allow(every, Resource="*"),))
    b = replace(b, trust=allow(every, Principal={"AWS": ROLE_A}))
    sts.world = sts.world.with_role(a).with_role(b)
    return await source_of(sts, kubelet.mint())


LEGAL: list[dict[str, Any]] = [
    {"RoleSessionName": "ab"},
    {"RoleSessionName": "w+=,.@-" + "x" * 57},
    {"DurationSeconds": 900},
    {"ExternalId": "ab"},
    {"ExternalId": "a:/" * 408},
    {"SourceIdentity": "x" * 64},
    {"Policy": json.dumps(allow("s3:*", Resource="*")).ljust(2048)},
    {"PolicyArns": [{"arn": f"arn:aws:iam::aws:policy/P{number}"} for number in range(10)]},
    {"Tags": tags(50, value="")},
    {"Tags": [{"Key": "k" * 128, "Value": "v" * 256}]},
    {"Tags": [{"Key": "Équipe", "Value": "a b_.:/=+-@"}]},
]


@pytest.mark.parametrize("case", LEGAL, ids=[f"{n}-{next(iter(case))}" for n, case in enumerate(LEGAL)])
async def test_the_last_legal_value_is_granted(case: dict[str, Any], sts: Emulator, source: dict[str, Any]) -> None:
    assert (await ask(sts, "assume_role", source, **second(**case)))["Credentials"]


ILLEGAL: list[tuple[dict[str, Any], str]] = [
    ({"RoleSessionName": "a"}, "greater than or equal to 2"),
    ({"RoleSessionName": "x" * 65}, "less than or equal to 64"),
    ({"RoleSessionName": "shop:orders"}, r"pattern: [\w+=,.@-]*"),
    ({"RoleSessionName": "shop/orders"}, r"pattern: [\w+=,.@-]*"),
    ({"RoleSessionName": "größe"}, r"pattern: [\w+=,.@-]*"),
    ({"DurationSeconds": 899}, "Value '899' at 'durationSeconds' failed to satisfy constraint"),
    ({"DurationSeconds": 43201}, "less than or equal to 43200"),
    ({"ExternalId": "a"}, "greater than or equal to 2"),
    ({"ExternalId": "x" * 1225}, "less than or equal to 1224"),
    ({"ExternalId": "with space"}, "pattern"),
    ({"SourceIdentity": "x" * 65}, "less than or equal to 64"),
    ({"SourceIdentity": "a:b"}, "pattern"),
    ({"Policy": "x" * 2049}, "less than or equal to 2048"),
    ({"PolicyArns": [{"arn": f"arn:aws:iam::aws:policy/P{number}"} for number in range(11)]}, "equal to 10"),
    ({"Tags": tags(51)}, "equal to 50"),
    ({"Tags": [{"Key": "k" * 129, "Value": "v"}]}, "equal to 128"),
    ({"Tags": [{"Key": "k", "Value": "v" * 257}]}, "equal to 256"),
    ({"Tags": [{"Key": "k!", "Value": "v"}]}, "pattern"),
    ({"Tags": [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]}, "Duplicate tag keys"),
    ({"Tags": [{"Key": "aws:team", "Value": "a"}]}, "reserved prefix"),
    ({"TransitiveTagKeys": ["team"]}, "one of the requested tags"),
    ({"RoleArn": "arn:aws:iam::444455556666:user/alice"}, "is invalid"),
    ({"RoleArn": "arn:aws:iam::4444:role/account-b-role"}, "is invalid"),
    ({"RoleArn": "account-b-role"}, "greater than or equal to 20"),
]


@pytest.mark.parametrize(
    ("case", "words"), ILLEGAL, ids=[f"{n}-{next(iter(case))}" for n, (case, _) in enumerate(ILLEGAL)]
)
async def test_the_first_illegal_value_is_refused(
    case: dict[str, Any], words: str, sts: Emulator, source: dict[str, Any]
) -> None:
    no = await refused(sts, "assume_role", source, **second(**case))
    assert (no.code, no.status) == ("ValidationError", 400)
    assert words in no.message


@pytest.mark.parametrize(
    "policy",
    ["{", "[" * 2048, "[]", '{"Statement": []', '{"Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}'],
)
async def test_a_session_policy_that_is_none_is_malformed(policy: str, sts: Emulator, source: dict[str, Any]) -> None:
    no = await refused(sts, "assume_role", source, **second(Policy=policy))
    assert (no.code, no.status) == ("MalformedPolicyDocument", 400)


async def test_all_violations_are_told_at_once(sts: Emulator, kubelet: Kubelet) -> None:
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "DurationSeconds": "1"}
    status, body = await post(sts.url, asked)
    assert status == 400
    assert "4 validation errors detected" in body
    assert "Value null at 'webIdentityToken'" in body


async def test_a_duration_that_is_no_number_is_refused(sts: Emulator, kubelet: Kubelet) -> None:
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **first(kubelet.mint())}
    status, body = await post(sts.url, {**asked, "DurationSeconds": "1h"})
    assert status == 400
    assert "no integer" in body


async def test_a_web_identity_has_no_tags_and_no_external_id(sts: Emulator, kubelet: Kubelet) -> None:
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **first(kubelet.mint())}
    status, body = await post(
        sts.url, {**asked, "Tags.member.1.Key": "team", "Tags.member.1.Value": "x", "ExternalId": "!"}
    )
    assert status == 200
    assert "PackedPolicySize" not in body


async def test_the_packed_size_is_told_and_bounded(sts: Emulator, source: dict[str, Any]) -> None:
    some = await ask(sts, "assume_role", source, **second(Tags=tags(3, key="team")))
    more = await ask(sts, "assume_role", source, **second(Tags=tags(6, key="team")))
    assert 0 < some["PackedPolicySize"] < more["PackedPolicySize"] <= 100
    assert "PackedPolicySize" not in await ask(sts, "assume_role", source, **second())
    no = await refused(sts, "assume_role", source, **second(Tags=tags(10, value="v" * 100)))
    assert (no.code, no.status) == ("PackedPolicyTooLarge", 400)
    assert "% of allotted space." in no.message


def test_the_tags_of_pod_identity_pack_to_what_was_measured() -> None:
    pod_identity = {
        "eks-cluster-arn": "arn:aws:eks:eu-west-1:111122223333:cluster/production",
        "eks-cluster-name": "production",
        "kubernetes-namespace": "shop",
        "kubernetes-service-account": "orders",
        "kubernetes-pod-name": "orders-7d4b9c-xk2lp",
        "kubernetes-pod-uid": "0f8fad5b-d9cb-469f-a165-70867728950e",
    }
    asked = Asked(
        role=RoleArn(partition="aws", account="111122223333", path="", name="r"), session_name="s", duration=900
    )
    measured = 74  # percent, aws/containers-roadmap#2413
    assert abs((packed_size(asked, pod_identity) or 0) - measured) <= 10
    with pytest.raises(Refusal) as no:
        packed_size(asked, {str(number): "v" * 256 for number in range(2)})
    assert no.value.code == "PackedPolicyTooLarge"
