"""Each refusal is one flip away from the guide's two calls, through HTTP with a stock client."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from sidecar.emulator import Emulator, Issuer, Kubelet, OidcProvider, RoleSpec, World, allow, guide_world
from sidecar.emulator.world import ACCOUNT_A
from tests.emulator.stock import ROLE_A, ROLE_B, SESSION, ask, first, refused, second, source_of

WEB, ROLE = "assume_role_with_web_identity", "assume_role"
DENIED_B = f"User: arn:aws:sts::111122223333:assumed-role/account-a-role/{SESSION} is not authorized to perform: "


def edit(sts: Emulator, arn: str, **changes: Any) -> None:
    role = sts.world.role(arn)
    assert role is not None
    sts.world = sts.world.with_role(replace(role, **changes))


def trust_a(**statement: Any) -> Any:
    return allow(statement.pop("action", "sts:AssumeRole"), Principal={"AWS": ROLE_A}, **statement)


async def test_the_chained_way_of_the_guide_ends_in_account_b(sts: Emulator, kubelet: Kubelet) -> None:
    source = await ask(sts, WEB, **first(kubelet.mint()))
    target = await ask(sts, ROLE, source["Credentials"], **second())
    who = await ask(sts, "get_caller_identity", target["Credentials"])

    assert source["SubjectFromWebIdentityToken"] == "system:serviceaccount:shop:orders"
    assert source["Audience"] == "sts.amazonaws.com"
    assert source["Provider"] == f"arn:aws:iam::111122223333:oidc-provider/{sts.issuer.removeprefix('http://')}"
    assert target["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::444455556666:assumed-role/account-b-role/{SESSION}"
    assert who["Arn"] == target["AssumedRoleUser"]["Arn"]
    assert (who["Account"], who["UserId"]) == ("444455556666", target["AssumedRoleUser"]["AssumedRoleId"])


async def test_the_direct_way_of_the_guide_ends_in_account_b(tmp_path: Any) -> None:
    async with Emulator(partial(guide_world, mode="direct")) as sts:
        answer = await ask(sts, WEB, **first(Kubelet(tmp_path, sts).mint(), RoleArn=ROLE_B))
        assert answer["AssumedRoleUser"]["Arn"].startswith("arn:aws:sts::444455556666:assumed-role/account-b-role/")


async def test_calls_are_recorded_with_hop_signer_and_code(sts: Emulator, kubelet: Kubelet) -> None:
    source = await source_of(sts, kubelet.mint())
    await ask(sts, ROLE, source, **second(DurationSeconds=900))
    await refused(sts, ROLE, source, **second(RoleArn=ROLE_A))
    one, two, three = sts.calls
    assert (one.action, one.hop, one.signed_by, one.code) == ("AssumeRoleWithWebIdentity", 1, None, None)
    assert (two.hop, two.signed_by, two.region, two.duration) == (2, source["AccessKeyId"], "eu-west-1", 900)
    assert (three.role_arn, three.code) == (ROLE_A, "AccessDenied")


async def test_what_is_issued_looks_like_what_aws_issues(sts: Emulator, kubelet: Kubelet) -> None:
    source = await source_of(sts, kubelet.mint(), DurationSeconds=1200)
    assert len(source["AccessKeyId"]) == 20
    assert source["AccessKeyId"].startswith("ASIA")
    assert len(source["SecretAccessKey"]) == 40
    assert len(source["SessionToken"]) >= 400
    assert 1198 <= source["Expiration"].timestamp() - sts.calls[-1].at <= 1200
    assert {source["SecretAccessKey"], source["SessionToken"]} <= sts.secrets


TOKENS: dict[str, tuple[dict[str, Any], str, str]] = {
    "expired": ({"exp": 1_700_000_000}, "ExpiredTokenException", "Token expired"),
    "not yet valid": ({"nbf": 4_000_000_000}, "InvalidIdentityToken", "not yet valid"),
    "audience": ({"aud": ["https://kubernetes.default.svc"]}, "InvalidIdentityToken", "Incorrect token audience"),
    "issuer": ({"iss": "https://elsewhere.example"}, "InvalidIdentityToken", "No OpenIDConnect provider found"),
    "subject": ({"sub": "system:serviceaccount:shop:default"}, "AccessDenied", "AssumeRoleWithWebIdentity"),
    "no expiry": ({"exp": None}, "InvalidIdentityToken", "Missing a required claim: exp"),
}


@pytest.mark.parametrize("flip", TOKENS)
async def test_a_token_with_one_wrong_claim_is_refused(flip: str, sts: Emulator, kubelet: Kubelet) -> None:
    claims, code, words = TOKENS[flip]
    no = await refused(sts, WEB, **first(kubelet.mint(**claims)))
    assert (no.code, no.status) == (code, 403 if code == "AccessDenied" else 400)
    assert words in no.message


async def test_a_token_that_another_key_signed_is_refused(sts: Emulator, kubelet: Kubelet) -> None:
    forger = Issuer(url=sts.issuer, key=generate_private_key(public_exponent=65537, key_size=2048))
    claims = jwt.decode(kubelet.mint(), options={"verify_signature": False})
    forged = jwt.encode(claims, forger.key, algorithm="RS256", headers={"kid": sts.oidc.key_id})
    for token, words in ((forged, "signature"), (forger.sign(claims), "kid")):
        no = await refused(sts, WEB, **first(token))
        assert no.code == "InvalidIdentityToken"
        assert words in no.message


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512"])
async def test_a_token_of_another_algorithm_is_refused(algorithm: str, sts: Emulator, kubelet: Kubelet) -> None:
    claims = jwt.decode(kubelet.mint(), options={"verify_signature": False})
    key: Any = {"none": None, "HS256": "k" * 64, "RS512": sts.oidc.key}[algorithm]
    token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": sts.oidc.key_id})
    assert (await refused(sts, WEB, **first(token))).code == "InvalidIdentityToken"


@pytest.mark.parametrize("text", ["not-a-jwt", "a.b.c", "ey" * 40])
async def test_text_that_is_no_token_is_refused(text: str, sts: Emulator) -> None:
    no = await refused(sts, WEB, **first(text))
    assert no.code == "InvalidIdentityToken"
    assert "not a valid JWT" in no.message


async def test_the_keys_of_a_provider_that_is_not_here_cannot_be_had(sts: Emulator, kubelet: Kubelet) -> None:
    far = OidcProvider(issuer="https://far.example")
    a, b = sts.world.accounts
    sts.world = World(accounts=(replace(a, providers=(far,)), b))
    no = await refused(sts, WEB, **first(kubelet.mint(iss=far.issuer)))
    assert no.code == "InvalidIdentityToken"
    assert "Couldn't retrieve verification key" in no.message


async def test_account_b_does_not_take_account_a_tokens(sts: Emulator, kubelet: Kubelet) -> None:
    no = await refused(sts, WEB, **first(kubelet.mint(), RoleArn=ROLE_B))
    assert no.code == "InvalidIdentityToken"
    assert "No OpenIDConnect provider found in your account" in no.message


async def test_a_role_that_does_not_exist_is_denied_like_one_that_does_not_trust(
    sts: Emulator, kubelet: Kubelet
) -> None:
    token = kubelet.mint()
    source = await source_of(sts, token)
    no = await refused(sts, WEB, **first(token, RoleArn=f"{ROLE_A}x"))
    assert (no.code, no.message) == ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    no = await refused(sts, ROLE, source, **second(RoleArn=f"{ROLE_B}x"))
    assert (no.code, no.status) == ("AccessDenied", 403)
    assert no.message == f"{DENIED_B}sts:AssumeRole on resource: {ROLE_B}x"


TRUSTS: dict[str, tuple[Any, bool]] = {
    "the role": (trust_a(), True),
    "its account's root": (allow("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{ACCOUNT_A}:root"}), True),
    "its account's id": (allow("sts:AssumeRole", Principal={"AWS": ACCOUNT_A}), True),
    "everyone": (allow("sts:AssumeRole", Principal={"AWS": "*"}), True),
    "another role": (allow("sts:AssumeRole", Principal={"AWS": f"{ROLE_A}-other"}), False),
    "another account": (allow("sts:AssumeRole", Principal={"AWS": "999988887777"}), False),
    "another partition": (allow("sts:AssumeRole", Principal={"AWS": f"arn:aws-cn:iam::{ACCOUNT_A}:root"}), False),
    "another action": (trust_a(action="sts:TagSession"), False),
    "a service": (allow("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"}), False),
    "its session name": (trust_a(Condition={"StringEquals": {"sts:RoleSessionName": SESSION}}), True),
    "another session name": (trust_a(Condition={"StringEquals": {"sts:RoleSessionName": "else"}}), False),
    "its principal arn": (trust_a(Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/acc*"}}), True),
}


@pytest.mark.parametrize("who", TRUSTS)
async def test_hop_2_depends_on_whom_the_role_trusts(who: str, sts: Emulator, kubelet: Kubelet) -> None:
    trust, granted = TRUSTS[who]
    edit(sts, ROLE_B, trust=trust)
    source = await source_of(sts, kubelet.mint())
    if granted:
        await ask(sts, ROLE, source, **second())
    else:
        no = await refused(sts, ROLE, source, **second())
        assert (no.code, no.message) == ("AccessDenied", f"{DENIED_B}sts:AssumeRole on resource: {ROLE_B}")


DENY = {"Statement": {"Effect": "Deny", "Action": "sts:*", "Resource": "*"}}
PERMISSIONS: dict[str, tuple[Any, bool]] = {
    "none": ((), False),
    "wildcards": ((allow("sts:Assume*", Resource="arn:aws:iam::444455556666:role/*"),), True),
    "any case of the action": ((allow("STS:assumerole", Resource="*"),), True),
    "another resource": ((allow("sts:AssumeRole", Resource=f"{ROLE_B}-other"),), False),
    "another action": ((allow("s3:*", Resource="*"),), False),
    "an explicit deny": ((allow("*", Resource="*"), DENY), False),
}


@pytest.mark.parametrize("what", PERMISSIONS)
async def test_hop_2_needs_the_callers_own_permission(what: str, sts: Emulator, kubelet: Kubelet) -> None:
    permissions, granted = PERMISSIONS[what]
    edit(sts, ROLE_A, permissions=permissions)
    source = await source_of(sts, kubelet.mint())
    if granted:
        await ask(sts, ROLE, source, **second())
    else:
        assert (await refused(sts, ROLE, source, **second())).code == "AccessDenied"


@pytest.mark.parametrize(("principal", "granted"), [(ROLE_A, True), (ACCOUNT_A, False)])
async def test_within_one_account_naming_the_role_is_enough(
    principal: str, granted: bool, sts: Emulator, kubelet: Kubelet
) -> None:
    neighbour = f"arn:aws:iam::{ACCOUNT_A}:role/neighbour"
    sts.world = sts.world.with_role(
        RoleSpec(arn=neighbour, trust=allow("sts:AssumeRole", Principal={"AWS": principal}))
    )
    source = await source_of(sts, kubelet.mint())
    if granted:
        await ask(sts, ROLE, source, **second(RoleArn=neighbour))
    else:
        assert (await refused(sts, ROLE, source, **second(RoleArn=neighbour))).code == "AccessDenied"


@pytest.mark.parametrize(("given", "granted"), [("shop-4711", True), ("shop-4712", False), (None, False)])
async def test_the_external_id_must_be_the_trusted_one(
    given: str | None, granted: bool, sts: Emulator, kubelet: Kubelet
) -> None:
    edit(sts, ROLE_B, trust=trust_a(Condition={"StringEquals": {"sts:ExternalId": "shop-4711"}}))
    source = await source_of(sts, kubelet.mint())
    asked = second() if given is None else second(ExternalId=given)
    if granted:
        await ask(sts, ROLE, source, **asked)
    else:
        assert (await refused(sts, ROLE, source, **asked)).code == "AccessDenied"
    assert sts.calls[-1].external_id == given


async def test_a_role_with_a_path_loses_it_in_the_session_arn(sts: Emulator, kubelet: Kubelet) -> None:
    deep = "arn:aws:iam::444455556666:role/teams/shop/reader"
    sts.world = sts.world.with_role(RoleSpec(arn=deep, trust=trust_a()))
    edit(sts, ROLE_A, permissions=(allow("sts:AssumeRole", Resource=deep),))
    source = await source_of(sts, kubelet.mint())
    answer = await ask(sts, ROLE, source, **second(RoleArn=deep))
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::444455556666:assumed-role/reader/{SESSION}"
    flat = "arn:aws:iam::444455556666:role/reader"
    assert (await refused(sts, ROLE, source, **second(RoleArn=flat))).code == "AccessDenied"


async def test_durations_end_at_the_roles_maximum_and_chained_ones_at_an_hour(sts: Emulator, kubelet: Kubelet) -> None:
    token = kubelet.mint()
    no = await refused(sts, WEB, **first(token, DurationSeconds=3601))
    assert (no.code, no.message) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )
    for arn in (ROLE_A, ROLE_B):
        edit(sts, arn, max_session_duration=43200)
    source = await source_of(sts, token, DurationSeconds=43200)
    no = await refused(sts, ROLE, source, **second(DurationSeconds=3601))
    assert (no.code, no.message) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    )
    await ask(sts, ROLE, source, **second(DurationSeconds=3600))


async def test_a_session_policy_cuts_what_the_session_may_do(sts: Emulator, kubelet: Kubelet) -> None:
    token = kubelet.mint()
    s3_only = json.dumps(allow("s3:*", Resource="*"))
    source = await source_of(sts, token, Policy=s3_only)
    assert (await refused(sts, ROLE, source, **second())).code == "AccessDenied"
    source = await source_of(sts, token, Policy=json.dumps(allow("sts:*", Resource="*")))
    await ask(sts, ROLE, source, **second())


async def test_a_managed_session_policy_grants_what_the_world_says_it_does(sts: Emulator, kubelet: Kubelet) -> None:
    arn = "arn:aws:iam::aws:policy/AssumeAnything"
    asked: Any = {"PolicyArns": [{"arn": arn}]}
    source = await source_of(sts, kubelet.mint(), **asked)
    assert (await refused(sts, ROLE, source, **second())).code == "AccessDenied"
    sts.world = replace(sts.world, managed_policies={arn: allow("sts:AssumeRole", Resource="*")})
    source = await source_of(sts, kubelet.mint(), **asked)
    await ask(sts, ROLE, source, **second())


TAGS = [{"Key": "team", "Value": "shop"}]


@pytest.mark.parametrize("lacks", ["nothing", "trust", "permission"])
@pytest.mark.parametrize(
    ("extra", "action"),
    [({"Tags": TAGS}, "sts:TagSession"), ({"SourceIdentity": "orders"}, "sts:SetSourceIdentity")],
    ids=["tags", "source identity"],
)
async def test_tags_and_source_identity_need_their_action_on_both_sides(
    lacks: str, extra: dict[str, Any], action: str, sts: Emulator, kubelet: Kubelet
) -> None:
    both = ["sts:AssumeRole", action]
    edit(sts, ROLE_B, trust=trust_a(action=both if lacks != "trust" else "sts:AssumeRole"))
    granted = both if lacks != "permission" else "sts:AssumeRole"
    edit(sts, ROLE_A, permissions=(allow(granted, Resource=ROLE_B),))
    source = await source_of(sts, kubelet.mint())
    if lacks == "nothing":
        answer = await ask(sts, ROLE, source, **second(**extra))
        assert answer.get("SourceIdentity") == extra.get("SourceIdentity")
    else:
        no = await refused(sts, ROLE, source, **second(**extra))
        assert (no.code, no.message) == ("AccessDenied", f"{DENIED_B}{action} on resource: {ROLE_B}")


async def test_transitive_tags_and_the_source_identity_are_inherited(sts: Emulator, kubelet: Kubelet) -> None:
    every: Any = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    role_c = "arn:aws:iam::444455556666:role/c"
    edit(sts, ROLE_A, permissions=(allow(every, Resource="*"),))
    edit(sts, ROLE_B, trust=trust_a(action=every), permissions=(allow(every, Resource="*"),))
    wanted = {"aws:RequestTag/team": "shop", "sts:SourceIdentity": "orders"}
    trusts_b = partial(allow, Principal={"AWS": ROLE_B}, Condition={"StringEquals": wanted})
    sts.world = sts.world.with_role(RoleSpec(arn=role_c, trust=trusts_b(every)))
    source = await source_of(sts, kubelet.mint())
    carried = second(Tags=TAGS, TransitiveTagKeys=["team"], SourceIdentity="orders")
    b = (await ask(sts, ROLE, source, **carried))["Credentials"]
    third = {"RoleArn": role_c, "RoleSessionName": SESSION}

    assert (await ask(sts, ROLE, b, **third))["SourceIdentity"] == "orders"
    no = await refused(sts, ROLE, b, **third, SourceIdentity="somebody")
    assert "sts:SetSourceIdentity" in no.message
    assert (await refused(sts, ROLE, b, **third, Tags=[{"Key": "Team", "Value": "x"}])).code == "ValidationError"
    sts.world = sts.world.with_role(RoleSpec(arn=role_c, trust=trusts_b("sts:AssumeRole")))
    assert "sts:TagSession" in (await refused(sts, ROLE, b, **third)).message
    plain = (await ask(sts, ROLE, source, **second(Tags=TAGS)))["Credentials"]  # not transitive: not inherited
    assert "sts:AssumeRole" in (await refused(sts, ROLE, plain, **third)).message


async def test_a_web_identity_takes_its_tags_and_source_identity_from_claims(sts: Emulator, kubelet: Kubelet) -> None:
    claims = {
        "https://aws.amazon.com/tags": {"principal_tags": {"team": ["shop"]}, "transitive_tag_keys": ["team"]},
        "https://aws.amazon.com/source_identity": "orders",
    }
    token = kubelet.mint(**claims)
    no = await refused(sts, WEB, **first(token))
    assert (no.code, no.message) == ("AccessDenied", "Not authorized to perform sts:TagSession")
    role = sts.world.role(ROLE_A)
    assert role is not None
    statement = dict(role.trust["Statement"][0])
    statement["Action"] = [statement["Action"], "sts:TagSession", "sts:SetSourceIdentity"]
    edit(sts, ROLE_A, trust={"Statement": [statement]})
    assert (await ask(sts, WEB, **first(token)))["SourceIdentity"] == "orders"
    broken = kubelet.mint(**{"https://aws.amazon.com/tags": {"principal_tags": "team"}})
    assert (await refused(sts, WEB, **first(broken))).code == "IDPRejectedClaim"


async def test_the_issued_life_may_be_shorter_than_asked_but_not_below_90_seconds(
    sts: Emulator, kubelet: Kubelet
) -> None:
    sts.issued_life = 90
    source = await source_of(sts, kubelet.mint(), DurationSeconds=3600)
    assert 88 <= source["Expiration"].timestamp() - sts.calls[-1].at <= 90
    with pytest.raises(ValueError, match="90"):
        sts.issued_life = 89


async def test_a_role_of_another_partition_is_no_valid_request(sts: Emulator, kubelet: Kubelet) -> None:
    source = await source_of(sts, kubelet.mint())
    no = await refused(sts, ROLE, source, **second(RoleArn=ROLE_B.replace("aws", "aws-cn", 1)))
    assert (no.code, no.message) == ("ValidationError", "Request ARN is invalid")


async def test_sessions_of_a_deleted_role_are_unknown(sts: Emulator, kubelet: Kubelet) -> None:
    source = await source_of(sts, kubelet.mint())
    sts.world = sts.world.without_role(ROLE_A)
    assert (await refused(sts, ROLE, source, **second())).code == "InvalidClientTokenId"
