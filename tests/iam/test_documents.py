"""What IAM must hold, by values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.iam.documents import Account, Bearer, accounts, labels, words
from sidecar.model import Hop, Role
from tests.builders import ACCOUNT_A, ACCOUNT_B, ROLE_A, ROLE_B, TOKEN_FILE, chain, hop, role, target

BEARER = Bearer(
    issuer="https://oidc.example.com/id/1",
    audiences=("sts.amazonaws.com",),
    subject="system:serviceaccount:shop:orders",
)


def found(*last: Hop, bearer: Bearer = BEARER) -> tuple[Account, ...]:
    targets = [target(f"t{number}", each) for number, each in enumerate(last)]
    return accounts(targets, {TOKEN_FILE: bearer})


def trust(account: Account, number: int = 0) -> Any:
    return account.roles[number].trust["Statement"]


def permissions(account: Account) -> Any:
    held = account.roles[0].permissions
    return held and held["Statement"]


def test_the_first_account_trusts_the_token_by_its_provider_its_audience_and_its_subject() -> None:
    first, _ = found(chain())
    arn = f"arn:aws:iam::{ACCOUNT_A}:oidc-provider/oidc.example.com/id/1"
    assert [(each.arn, each.url, each.audiences) for each in first.providers] == [
        (arn, BEARER.issuer, BEARER.audiences)
    ]
    wanted = {
        "oidc.example.com/id/1:aud": "sts.amazonaws.com",
        "oidc.example.com/id/1:sub": "system:serviceaccount:shop:orders",
    }
    assert trust(first) == [
        {
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": wanted},
        }
    ]


def test_each_account_names_the_very_role_of_the_other() -> None:
    first, second = found(chain())
    assert permissions(first) == [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE_B}]
    assert trust(second) == [{"Effect": "Allow", "Principal": {"AWS": ROLE_A}, "Action": "sts:AssumeRole"}]
    assert permissions(second) is None
    assert (second.id, second.providers) == (ACCOUNT_B, ())


def test_a_token_with_several_audiences_is_trusted_for_each() -> None:
    first, _ = found(chain(), bearer=replace(BEARER, audiences=("a", "b")))
    assert first.providers[0].audiences == ("a", "b")
    assert trust(first)[0]["Condition"]["StringEquals"]["oidc.example.com/id/1:aud"] == ["a", "b"]


def test_tags_are_carried_on_only_where_they_are_transitive() -> None:
    tagged = chain(tags=(("team", "orders"),))
    third = hop("arn:aws:iam::777788889999:role/c", source=tagged)
    assert permissions(found(third)[1])[0]["Action"] == "sts:AssumeRole"
    onward = hop("arn:aws:iam::777788889999:role/c", source=replace(tagged, transitive_tags=("team",)))
    assert permissions(found(onward)[1])[0]["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert [each["Action"] for each in trust(found(onward)[2])] == ["sts:AssumeRole", "sts:TagSession"]


def test_a_source_identity_is_carried_on_for_ever() -> None:
    fourth = hop(f"{ROLE_B}-4", source=hop("arn:aws:iam::777788889999:role/c", source=chain(source_identity="orders")))
    _, b, c = found(fourth)
    assert permissions(b)[0]["Action"] == permissions(c)[0]["Action"] == ["sts:AssumeRole", "sts:SetSourceIdentity"]
    assert [each["Action"] for each in trust(b, 1)] == ["sts:AssumeRole", "sts:SetSourceIdentity"]


def test_a_hop_within_an_account_needs_no_permission_and_its_role_the_other_first() -> None:
    (only,) = found(hop(f"{ROLE_A}-2", source=hop()))
    assert permissions(only) is None
    assert [each.sources for each in only.roles] == [(), (role(ROLE_A),)]


@pytest.mark.parametrize(("duration", "longest"), [(900, None), (3600, None), (3601, 3601), (43_200, 43_200)])
def test_a_role_grants_longer_sessions_only_where_longer_ones_are_asked_for(duration: int, longest: int | None) -> None:
    first, second = found(hop(ROLE_B, source=hop(duration=duration)))
    assert [first.roles[0].longest, second.roles[0].longest] == [longest, None]


def test_the_longest_session_that_any_target_asks_for_is_granted() -> None:
    first, _ = found(hop(ROLE_B, source=hop(duration=7200)), hop(f"{ROLE_B}-2", source=hop(duration=5400)))
    assert first.roles[0].longest == 7200


def test_what_targets_share_is_there_once() -> None:
    first, second = found(chain(branch="-1"), chain(branch="-2"))
    assert [len(first.providers), len(first.roles), len(trust(first))] == [1, 1, 1]
    assert [each["Resource"] for each in permissions(first)] == [f"{ROLE_B}-1", f"{ROLE_B}-2"]
    assert [each.role.name for each in second.roles] == ["account-b-role-1", "account-b-role-2"]


def test_one_role_may_be_reached_with_either_of_two_external_ids() -> None:
    _, second = found(chain(external_id="y"), chain(external_id="x"))
    assert [each["Condition"] for each in trust(second)] == [{"StringEquals": {"sts:ExternalId": ["x", "y"]}}]


def test_where_one_target_gives_no_external_id_none_is_asked_for() -> None:
    _, second = found(chain(external_id="x"), chain())
    assert [each.get("Condition") for each in trust(second)] == [None]


def test_a_role_that_is_the_first_for_one_and_the_second_for_another_trusts_both() -> None:
    first, second = found(chain(), hop(ROLE_B))
    assert [each["Action"] for each in trust(second)] == ["sts:AssumeRoleWithWebIdentity", "sts:AssumeRole"]
    assert [len(first.providers), len(second.providers)] == [1, 1]


def test_the_partition_is_everywhere_the_roles() -> None:
    arns = ("arn:aws-cn:iam::111122223333:role/a", "arn:aws-cn:iam::444455556666:role/b")
    text = str(found(hop(arns[1], source=hop(arns[0]))))
    assert "arn:aws-cn:iam::111122223333:oidc-provider/" in text
    assert "arn:aws:" not in text


def test_labels_are_kept_apart_by_a_number() -> None:
    names = ["a.b", "a-b", "a_b", "c"]
    roles = [Role("aws", ACCOUNT_A, "", name) for name in names]
    assert [*labels(roles, lambda name: "_".join(words(name))).values()] == ["a_b", "a_b2", "a_b3", "c"]
    assert words("@@") == ["role"]
