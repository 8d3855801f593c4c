"""Other published pods than the first: a Job, a chain of one hop, and two containers with a role each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sidecar.emulator import Account, RoleSpec, World, allow, guide_world
from tests.builders import ACCOUNT_B, ROLE_A
from tests.emulator.stock import SESSION
from tests.image.pod import pod
from tests.image.podman import MARKS, facts, says
from tests.test_end_to_end import IDENTITY_B

pytestmark = MARKS

ORDERS = f"arn:aws:iam::{ACCOUNT_B}:role/orders"
INVOICES = "arn:aws:iam::777788889999:role/invoices"


def two_roles(issuer: str) -> World:
    """The guide's Account A, whose role may assume a role of each of two accounts."""
    world = guide_world(issuer)
    role_a = world.role(ROLE_A)
    assert role_a is not None
    world = world.with_role(replace(role_a, permissions=(allow("sts:AssumeRole", Resource=[ORDERS, INVOICES]),)))
    trust = allow("sts:AssumeRole", Principal={"AWS": ROLE_A})
    invoices = Account(id="777788889999", roles=(RoleSpec(arn=INVOICES, trust=trust),))
    world = world.with_role(RoleSpec(arn=ORDERS, trust=trust))
    return replace(world, accounts=(*world.accounts, invoices))


@pytest.mark.parametrize(
    ("example", "universe", "served", "identities"),
    [
        ("job", guide_world, ("default",), {"app": IDENTITY_B}),
        ("direct", partial(guide_world, mode="direct"), ("default",), {"app": IDENTITY_B}),
        (
            "two-targets",
            two_roles,
            ("orders", "invoices"),
            {
                "orders": f"arn:aws:sts::{ACCOUNT_B}:assumed-role/orders/{SESSION}",
                "invoices": f"arn:aws:sts::777788889999:assumed-role/invoices/{SESSION}",
            },
        ),
    ],
    ids=["job", "direct", "two-targets"],
)
async def test_every_container_is_who_its_target_is(
    example: str,
    universe: Callable[[str], World],
    served: tuple[str, ...],
    identities: Mapping[str, str],
    tmp_path: Path,
) -> None:
    async with pod(tmp_path, example, universe) as here, here.serving(*served):
        for name, identity in identities.items():
            await here.start(name)
            assert await says(here.container(name)) == identity
            assert (await facts(here.container(name)))["Uid"] == "10001 10001 10001 10001"
