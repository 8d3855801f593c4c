"""What is wrong in IAM: made in the emulator, named first, settled by what was printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.emulator import Fault, OidcProvider, RoleSpec, World, allow, guide_world
from sidecar.emulator.world import bare
from tests.builders import ACCOUNT_A, ROLE_A, ROLE_B
from tests.doctor.clinic import MARKS, Clinic, clinic, healthy

pytestmark = MARKS

TRUST_A, TRUST_B = "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole"
TAGS, IDENTITY = {"SIDECAR_SESSION_TAGS": "team=orders"}, {"SIDECAR_SOURCE_IDENTITY": "orders"}
Change = Callable[[World, str], World]


@dataclass(frozen=True, slots=True, kw_only=True)
class Illness:
    """A world that is wrong, the code that doctor finds, and the words for this very cause among those of its group."""

    change: Change
    code: str
    words: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    logged: str = "AccessDenied"
    hop: int = 1


def role(world: World, arn: str) -> RoleSpec:
    found = world.role(arn)
    assert found is not None
    return found


def provided(*providers: Callable[[str], OidcProvider]) -> Change:
    def change(world: World, issuer: str) -> World:
        first, *rest = world.accounts
        return replace(world, accounts=(replace(first, providers=tuple(each(issuer) for each in providers)), *rest))

    return change


def trusting_token(**condition: Any) -> Change:
    """Role A's trust, with `{issuer}` in keys and values replaced."""

    def change(world: World, issuer: str) -> World:
        said = {
            operator: {key.format(issuer=bare(issuer)): value for key, value in block.items()}
            for operator, block in condition.items()
        }
        statement = role(world, ROLE_A).trust["Statement"][0]
        trust = allow(TRUST_A, Principal=statement["Principal"], Condition=said)
        return world.with_role(replace(role(world, ROLE_A), trust=trust))

    return change


def trusting(principal: str, **more: Any) -> Change:
    """Role B's trust."""
    trust = allow(TRUST_B, Principal={"AWS": principal}, **more)
    return lambda world, _: world.with_role(replace(role(world, ROLE_B), trust=trust))


def permitting(*policies: Mapping[str, Any]) -> Change:
    """Role A's permissions."""
    return lambda world, _: world.with_role(replace(role(world, ROLE_A), permissions=policies))


def both(*changes: Change) -> Change:
    def change(world: World, issuer: str) -> World:
        for each in changes:
            world = each(world, issuer)
        return world

    return change


def nothing(world: World, _: str) -> World:
    return world


AUD = {"{issuer}:aud": "sts.amazonaws.com"}
EXTERNAL = {"Condition": {"StringEquals": {"sts:ExternalId": "orders-2026"}}}
ALL = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
EVERYTHING_B = lambda world, _: world.with_role(  # noqa: E731 -- a row of the table below is built of it
    replace(role(world, ROLE_B), trust=allow(ALL, Principal={"AWS": ROLE_A}))
)
EVERYTHING_A = permitting(allow(ALL, Resource=ROLE_B))

ILLNESSES: Final[Mapping[str, Illness]] = {
    "7 no provider": Illness(
        change=provided(), code="provider-missing", words="there is no OIDC provider", logged="InvalidIdentityToken"
    ),
    "8 a slash at the provider's end": Illness(
        change=provided(lambda issuer: OidcProvider(issuer=f"{issuer}/")),
        code="provider-missing",
        words="a slash at the end",
        logged="InvalidIdentityToken",
    ),
    "8 a provider of another region": Illness(
        change=provided(lambda _: OidcProvider(issuer="https://oidc.eks.eu-west-2.amazonaws.com/id/EXAMPLE")),
        code="provider-missing",
        words="another region",
        logged="InvalidIdentityToken",
    ),
    "9 another service account": Illness(
        change=trusting_token(StringEquals={**AUD, "{issuer}:sub": "system:serviceaccount:shop:till"}),
        code="accessdenied-on-hop-1",
        words="sub of another service account",
    ),
    "10 a pattern under StringEquals": Illness(
        change=trusting_token(StringEquals={**AUD, "{issuer}:sub": "system:serviceaccount:shop:*"}),
        code="accessdenied-on-hop-1",
        words="under StringEquals",
    ),
    "11 the keys of another issuer": Illness(
        change=trusting_token(StringEquals={"oidc.eks.eu-west-2.amazonaws.com/id/OLD:aud": "sts.amazonaws.com"}),
        code="accessdenied-on-hop-1",
        words="are of another issuer",
    ),
    "12 no permission": Illness(
        change=permitting(), code="accessdenied-on-hop-2", words="has no permission for sts:AssumeRole", hop=2
    ),
    "13 another role is trusted": Illness(
        change=trusting(f"{ROLE_A}-2"), code="accessdenied-on-hop-2", words="names another principal", hop=2
    ),
    "14 the account is trusted, and no permission": Illness(
        change=both(trusting(f"arn:aws:iam::{ACCOUNT_A}:root"), permitting()),
        code="accessdenied-on-hop-2",
        words="(root), which leaves it to the permission that is missing",
        hop=2,
    ),
    "15 role A made again": Illness(
        change=trusting("AROAEXAMPLEOLDROLEID1"), code="accessdenied-on-hop-2", words="AROA", hop=2
    ),
    "16 no external id": Illness(
        change=trusting(ROLE_A, **EXTERNAL),
        code="accessdenied-on-hop-2",
        words="demands an external id, and none is set",
        hop=2,
    ),
    "17 another external id": Illness(
        change=trusting(ROLE_A, **EXTERNAL),
        settings={"SIDECAR_EXTERNAL_ID": "orders-1999"},
        code="accessdenied-on-hop-2",
        words="demands an external id, and another one than is set",
        hop=2,
    ),
    "16 no external id, reported as sts:TagSession": Illness(
        change=both(EVERYTHING_A, trusting(ROLE_A, **EXTERNAL)),
        settings=TAGS,
        code="accessdenied-on-hop-2",
        words="a missing external id, too, can be reported as sts:TagSession",
        hop=2,
    ),
    "18 TagSession not permitted": Illness(
        change=EVERYTHING_B, settings=TAGS, code="tagsession-missing", words="without session tags is granted", hop=2
    ),
    "18 TagSession not trusted": Illness(
        change=EVERYTHING_A, settings=TAGS, code="tagsession-missing", words="without session tags is granted", hop=2
    ),
    "19 SetSourceIdentity not permitted": Illness(
        change=EVERYTHING_B,
        settings=IDENTITY,
        code="setsourceidentity-missing",
        words="without a source identity is granted",
        hop=2,
    ),
    "19 SetSourceIdentity not trusted": Illness(
        change=EVERYTHING_A,
        settings=IDENTITY,
        code="setsourceidentity-missing",
        words="without a source identity is granted",
        hop=2,
    ),
    "18 and 19 at once": Illness(
        change=nothing,
        settings={**TAGS, **IDENTITY},
        code="tagsession-missing",
        words="without session tags and a source identity is granted",
        hop=2,
    ),
    "20 longer than the role grants": Illness(
        change=nothing,
        settings={"SIDECAR_SOURCE_DURATION": "7200"},
        code="duration-too-long",
        words="7200 s were asked for",
        logged="ValidationError",
    ),
}


@pytest.mark.parametrize("name", ILLNESSES)
async def test_what_is_wrong_in_iam_is_named_and_settled_by_what_is_printed(name: str, tmp_path: Path) -> None:
    illness = ILLNESSES[name]
    async with clinic(tmp_path, illness.settings) as here:
        here.sts.world = illness.change(here.sts.world, here.sts.issuer)
        report = await _beside_the_daemon(here, illness)
        assert report.code == 6
        assert report.cause["code"] == illness.code
        assert illness.words in report.said()
        assert len(report.problems) == 1, report.text  # what follows from it is not one
        here.apply(report.pastes)
        await here.recover()


async def _beside_the_daemon(here: Clinic, illness: Illness) -> Any:
    """What doctor says in the pod, once log and status have said the same words."""
    async with here.daemon() as running:
        line = await running.event("HopFailed", hop=illness.hop, code=illness.logged)
        error = await here.error(running)
        assert (line["code"], line["hint"]) == (error["code"], error["message"])
        assert line["runbook"] == error["runbook"]
        here.sts.world = here.sts.world  # it is asked again by doctor, not by the daemon
        report = await here.examine()
    cause = report.cause
    role_arn = here.settings["AWS_ROLE_ARN" if illness.hop == 1 else "SIDECAR_TARGET_ROLE_ARN"]
    assert cause["seen"] == f"hop {illness.hop} to {role_arn} failed: {line['code']}: {line['hint']}"
    return report


@pytest.mark.parametrize("given", ["", "orders-1999"], ids=["none", "another"])
async def test_an_external_id_that_was_agreed_settles_it_as_well(given: str, tmp_path: Path) -> None:
    async with clinic(tmp_path, {"SIDECAR_EXTERNAL_ID": given}) as here:
        here.sts.world = trusting(ROLE_A, **EXTERNAL)(here.sts.world, here.sts.issuer)
        report = await here.examine()
        assert "SIDECAR_EXTERNAL_ID=…" in report.pastes
        here.settings["SIDECAR_EXTERNAL_ID"] = "orders-2026"
        await here.recover()


async def test_6_an_audience_that_the_provider_does_not_know(tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        here.kubelet.project(here.kubelet.mint(aud=["vault"]))
        illness = Illness(change=nothing, code="audience-unknown", logged="InvalidIdentityToken")
        report = await _beside_the_daemon(here, illness)
        assert (report.code, report.cause["code"]) == (6, illness.code)
        project, add = report.pastes
        assert "audience: sts.amazonaws.com" in project
        world = here.sts.world
        here.apply([add])  # the audience is meant
        report = await here.examine()
        assert report.cause["code"] == "accessdenied-on-hop-1"
        here.apply(report.pastes)
        await here.recover()
        here.sts.world = world  # or it is not
        here.kubelet.project()
        await here.recover()


@pytest.mark.parametrize(
    ("setting", "wrong", "right", "code"),
    [
        ("SIDECAR_TARGET_ROLE_ARN", ROLE_B.replace("account-b", "Account-B"), ROLE_B, "accessdenied-on-hop-2"),
        ("SIDECAR_TARGET_ROLE_ARN", ROLE_B.replace("role/", "role/team/"), ROLE_B, "accessdenied-on-hop-2"),
        ("AWS_ROLE_ARN", ROLE_A.replace("account-a", "Account-A"), ROLE_A, "accessdenied-on-hop-1"),
        ("AWS_ROLE_ARN", ROLE_A.replace("role/", "role/team/"), ROLE_A, "accessdenied-on-hop-1"),
    ],
    ids=["B's case", "B's path", "A's case", "A's path"],
)
async def test_27_a_role_whose_name_is_spelt_otherwise(
    setting: str, wrong: str, right: str, code: str, tmp_path: Path
) -> None:
    async with clinic(tmp_path, {setting: wrong}) as here:
        illness = Illness(change=nothing, code=code, hop=1 if setting == "AWS_ROLE_ARN" else 2)
        report = await _beside_the_daemon(here, illness)
        assert (report.code, report.cause["code"]) == (6, code)
        assert "another path, or letters of another case" in report.said()
        assert report.pastes[-1] == f"{setting}=…"
        here.settings[setting] = right
        await here.recover()


async def test_21_a_region_that_is_not_enabled(tmp_path: Path) -> None:
    async with clinic(tmp_path, is_proxied=True) as here:
        here.sts.fault = Fault.error("RegionDisabledException", 403).only(region="eu-west-1")
        illness = Illness(change=nothing, code="regiondisabledexception", logged="RegionDisabledException")
        report = await _beside_the_daemon(here, illness)
        assert (report.code, report.cause["code"]) == (4, illness.code)
        assert report.pastes == ["aws account enable-region --region-name eu-west-1"]
        here.settings["AWS_REGION"] = "eu-central-1"
        await here.recover()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            "is not authorized to perform: sts:AssumeRole because no identity-based policy allows it",
            "permission-missing",
        ),
        ("is not authorized to perform: sts:AssumeRole because no resource-based policy allows it", "trust-missing"),
        ("with an explicit deny in a service control policy", "forbidden-above"),
    ],
)
async def test_what_aws_says_of_the_kind_of_policy_decides(message: str, code: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as here:
        here.sts.fault = Fault.error("AccessDenied", 403, f"User: arn:aws:sts::1:x {message}").only(action="AssumeRole")
        report = await here.examine()
    assert (report.code, report.cause["code"]) == (6, code)
    assert "arn:aws:sts::1:x" not in report.text  # AWS's own words are never shown


async def test_a_healthy_pod_has_no_cross_and_no_advice(tmp_path: Path) -> None:
    settings = {**TAGS, **IDENTITY, "SIDECAR_EXTERNAL_ID": "orders-2026"}
    async with clinic(tmp_path, settings, _everything) as here, here.daemon() as running:
        await running.served()
        report = await here.examine()
        healthy(report)
        assert {each["state"] for each in report.findings} == {"ok"}
        assert report.text.endswith("All is well.\n")


def _everything(issuer: str) -> World:
    return both(EVERYTHING_A, EVERYTHING_B)(guide_world(issuer), issuer)
