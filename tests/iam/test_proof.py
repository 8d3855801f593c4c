"""The proof: with what `iam` prints, in the emulator's IAM, the chain is walked, and no part of it is to spare."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar import iam
from sidecar.config import Config, resolve
from sidecar.daemon import once
from sidecar.emulator import Emulator, Kubelet, World
from sidecar.errors import WalkError
from sidecar.model import Outside
from tests.harness import surroundings
from tests.iam.scenarios import SCENARIOS, A, B, C, Document, Scenario, arn, document, parts, without, world

pytestmark = pytest.mark.usefixtures("_logging")

# One walk each: neither clock nor chance has a say in it.
OUTSIDE = Outside(clock=time.monotonic, wall=time.time, chance=lambda: 0.5, random_token=lambda: "x" * 43, boot="one")
CUTS = {
    f"{name}: {'/'.join(map(str, place[1:]))}": (scenario, place, code)
    for name, scenario in SCENARIOS.items()
    for place, code in parts(document(scenario))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod's token and its sidecar's configuration, before an STS whose IAM can be written."""

    sts: Emulator
    kubelet: Kubelet
    config: Config

    def printed(self) -> Document:
        """What `iam` prints here, with the claims of the token that is there."""
        found: Document = json.loads(iam.describe(self.config, "json", iam.Said())[0])
        return found

    async def walk(self, target: str | None = None) -> str:
        """Who one walk makes of us."""
        return (await once(self.config, OUTSIDE, target)).identity.arn

    async def refusals(self) -> list[tuple[int, str]]:
        """The hop and the code of each target that cannot be walked."""
        found = []
        for target in self.config.targets:
            try:
                await self.walk(target.name)
            except WalkError as error:
                found.append((error.position, error.code))
        return found


@asynccontextmanager
async def pod(home: Path, scenario: Scenario) -> AsyncIterator[Pod]:
    """A pod whose accounts are empty yet."""
    async with Emulator(World(accounts=())) as sts:
        kubelet = Kubelet(home / "projected", sts)
        kubelet.project()
        environ = {**scenario.environ(home, kubelet.path), "AWS_ENDPOINT_URL_STS": sts.url}
        with surroundings(environ):
            yield Pod(sts=sts, kubelet=kubelet, config=resolve({}, environ))


@pytest.mark.parametrize("name", SCENARIOS)
async def test_with_what_is_printed_every_target_is_walked(name: str, tmp_path: Path) -> None:
    async with pod(tmp_path, SCENARIOS[name]) as here:
        here.sts.world = world(here.printed())
        for target in here.config.targets:
            role = target.hop.role
            session = f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/"
            assert (await here.walk(target.name)).startswith(session)


@pytest.mark.parametrize("name", CUTS)
async def test_without_any_part_of_it_sts_refuses(name: str, tmp_path: Path) -> None:
    scenario, place, code = CUTS[name]
    async with pod(tmp_path, scenario) as here:
        here.sts.world = world(without(here.printed(), place))
        refused = await here.refusals()
        assert {said for _, said in refused} == {code}


def test_every_kind_of_part_was_left_out() -> None:
    kinds = {tuple(step for step in place if isinstance(step, str)) for _, place, _ in CUTS.values()}
    role = ("accounts", "roles")
    statements = {
        (*role, policy, "Statement", *more)
        for policy in ("trust_policy", "permission_policy")
        for more in ((), ("Action",))
    }
    assert kinds == {
        ("accounts", "providers"),
        ("accounts", "providers", "audiences"),
        (*role, "max_session_duration"),
        *statements,
    }


@pytest.mark.parametrize(
    ("claims", "hop"),
    [
        ({"sub": "system:serviceaccount:shop:invoices"}, 1),
        ({"sub": "system:serviceaccount:shop-2:orders"}, 1),
        ({"sub": "system:serviceaccount:shop:orders2"}, 1),
        ({"aud": ["vault"]}, 1),
    ],
    ids=["another service account", "another namespace", "a longer name", "another audience"],
)
@pytest.mark.parametrize("name", ["chained, aws", "chained, aws-cn", "chained, aws-us-gov", "three hops", "direct"])
async def test_another_token_of_the_same_issuer_is_denied(
    name: str, claims: dict[str, object], hop: int, tmp_path: Path
) -> None:
    async with pod(tmp_path, SCENARIOS[name]) as here:
        said = here.printed()
        for account in said["accounts"]:
            for provider in account["providers"]:
                provider["audiences"].append("vault")  # the provider is others' too: only the role refuses
        here.sts.world = world(said)
        here.kubelet.project(here.kubelet.mint(**claims))
        assert await here.refusals() == [(hop, "AccessDenied")]


async def test_a_token_for_an_audience_that_the_provider_does_not_list_is_invalid(tmp_path: Path) -> None:
    async with pod(tmp_path, SCENARIOS["chained, aws"]) as here:
        here.sts.world = world(here.printed())
        here.kubelet.project(here.kubelet.mint(aud=["vault"]))
        assert await here.refusals() == [(1, "InvalidIdentityToken")]


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize(
    ("account", "name"),
    [(A, "other-role"), (A, "team/account-a-role"), (A, "account-a-role2"), (C, "account-a-role")],
    ids=["another role of A", "the same name with a path", "a longer name", "the same name in another account"],
)
async def test_another_source_than_the_role_that_is_trusted_is_denied(
    account: str, name: str, partition: str, tmp_path: Path
) -> None:
    meant = SCENARIOS[f"all at once, {partition}"]
    other = arn(account, name, partition)
    async with pod(tmp_path, meant.but(AWS_ROLE_ARN=other)) as here:
        said = here.printed()  # for the other: it may all, and trusts the token
        said["accounts"][-1] = document(meant)["accounts"][1]
        here.sts.world = world(said)
        assert await here.refusals() == [(2, "AccessDenied")]


@pytest.mark.parametrize("given", ["", "orders-2027"], ids=["none", "another"])
async def test_another_external_id_than_the_one_that_was_agreed_is_denied(given: str, tmp_path: Path) -> None:
    meant = SCENARIOS["external id"]
    async with pod(tmp_path, meant.but(SIDECAR_EXTERNAL_ID=given)) as here:
        said = here.printed()
        said["accounts"][-1] = document(meant)["accounts"][1]
        here.sts.world = world(said)
        assert await here.refusals() == [(2, "AccessDenied")]


@pytest.mark.parametrize(
    "more",
    [{"SIDECAR_SESSION_TAGS": "team=orders"}, {"SIDECAR_SOURCE_IDENTITY": "orders"}],
    ids=["tags", "a source identity"],
)
@pytest.mark.parametrize("side", [0, 1], ids=["by the permission", "by the trust"])
async def test_what_was_not_asked_for_is_not_granted(more: dict[str, str], side: int, tmp_path: Path) -> None:
    meant = SCENARIOS["chained, aws"]
    async with pod(tmp_path, meant.but(**more)) as here:
        said, plain = here.printed(), document(meant)["accounts"]
        policy = ("permission_policy", "trust_policy")[side]
        said["accounts"][side]["roles"][0][policy] = plain[side]["roles"][0][policy]
        here.sts.world = world(said)
        assert await here.refusals() == [(2, "AccessDenied")]


async def test_another_role_of_account_b_is_denied_whom_it_trusts_itself(tmp_path: Path) -> None:
    meant = SCENARIOS["chained, aws"]
    async with pod(tmp_path, meant.but(SIDECAR_TARGET_ROLE_ARN=arn(B, "account-b-admin"))) as here:
        said = here.printed()
        said["accounts"][0]["roles"][0]["permission_policy"] = document(meant)["accounts"][0]["roles"][0][
            "permission_policy"
        ]
        here.sts.world = world(said)
        assert await here.refusals() == [(2, "AccessDenied")]
