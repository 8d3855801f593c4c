"""The IAM universe as values: the guide's two accounts, and worlds that cannot be."""

from __future__ import annotations

import pytest

from sidecar.emulator import Account, RoleArn, RoleSpec, allow, guide_world
from sidecar.emulator.policy import PolicyError
from tests.emulator.stock import ROLE_A, ROLE_B

ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
TRUST = allow("sts:AssumeRole", Principal="*")


def test_the_chained_world_is_the_guides() -> None:
    world = guide_world(ISSUER, namespace="pay", service_account="ledger")
    a, b = world.role(ROLE_A), world.role(ROLE_B)
    assert a is not None
    assert b is not None
    statement = a.trust["Statement"][0]
    provider = f"arn:aws:iam::111122223333:oidc-provider/{ISSUER.removeprefix('https://')}"
    assert statement["Principal"] == {"Federated": provider}
    assert statement["Condition"]["StringEquals"] == {
        f"{ISSUER.removeprefix('https://')}:aud": "sts.amazonaws.com",
        f"{ISSUER.removeprefix('https://')}:sub": "system:serviceaccount:pay:ledger",
    }
    assert b.trust["Statement"][0]["Principal"] == {"AWS": ROLE_A}
    assert world.provider("111122223333", ISSUER) is not None
    assert world.provider("444455556666", ISSUER) is None


def test_the_direct_world_has_the_provider_in_account_b() -> None:
    world = guide_world(ISSUER, "direct")
    assert world.role(ROLE_A) is None
    assert world.provider("444455556666", ISSUER) is not None


def test_a_role_arn_is_its_parts_and_back() -> None:
    for text in (ROLE_A, "arn:aws-us-gov:iam::111122223333:role/a/b/name", "arn:aws:iam::111122223333:role/x+=,.@-_"):
        assert str(RoleArn.parse(text)) == text
    arn = RoleArn.parse("arn:aws:iam::111122223333:role/a/b/name")
    assert arn is not None
    assert (arn.path, arn.name) == ("a/b/", "name")


@pytest.mark.parametrize(
    "text",
    ["", "arn:aws:iam::111122223333:user/x", "arn:aws:iam::111122223333:role/", "arn:gcp:iam::111122223333:role/x"],
)
def test_what_is_no_role_arn_has_no_parts(text: str) -> None:
    assert RoleArn.parse(text) is None
    with pytest.raises(ValueError, match="no role ARN"):
        RoleSpec(arn=text, trust=TRUST)


def test_a_role_that_iam_would_not_create_is_refused() -> None:
    with pytest.raises(ValueError, match="3600 to 43200"):
        RoleSpec(arn=ROLE_A, trust=TRUST, max_session_duration=900)
    with pytest.raises(PolicyError):
        RoleSpec(arn=ROLE_A, trust={"Statement": [{"Effect": "Allow", "Action": "*", "NotPrincipal": "*"}]})
    with pytest.raises(ValueError, match="no role of account"):
        Account(id="444455556666", roles=(RoleSpec(arn=ROLE_A, trust=TRUST),))


def test_a_world_is_edited_by_value() -> None:
    world = guide_world(ISSUER)
    changed = world.with_role(RoleSpec(arn=ROLE_B, trust=TRUST))
    assert changed.role(ROLE_B) != world.role(ROLE_B)
    assert changed.role(ROLE_A) == world.role(ROLE_A)
    assert changed.without_role(ROLE_B).role(ROLE_B) is None
    assert world.role(ROLE_B) is not None


def test_unique_ids_are_stable_and_look_like_iams() -> None:
    role = RoleSpec(arn=ROLE_A, trust=TRUST)
    assert role.unique_id == RoleSpec(arn=ROLE_A, trust=TRUST).unique_id
    assert role.unique_id.startswith("AROA")
    assert len(role.unique_id) == 21
