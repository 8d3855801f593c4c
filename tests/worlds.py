"""IAM worlds beyond the guide's two roles."""

from __future__ import annotations

from dataclasses import replace

from sidecar.emulator import Account, RoleSpec, World, allow, guide_world
from tests.builders import ROLE_A, ROLE_B

ROLE_C = "arn:aws:iam::777788889999:role/data/lake/account-c-role"


def three_hops(issuer: str) -> World:
    """The guide's two roles, and a third with a path in an account that trusts the second."""
    world = guide_world(issuer)
    role_b = world.role(ROLE_B)
    assert role_b is not None
    onward = replace(role_b, permissions=(allow("sts:AssumeRole", Resource=ROLE_C),))
    role_c = RoleSpec(arn=ROLE_C, trust=allow("sts:AssumeRole", Principal={"AWS": ROLE_B}))
    account_c = Account(id="777788889999", roles=(role_c,))
    return replace(world.with_role(onward), accounts=(*world.with_role(onward).accounts, account_c))


def three_targets(issuer: str) -> World:
    """Three roles of account B, all of which trust account A's role."""
    world = guide_world(issuer)
    role_a = world.role(ROLE_A)
    assert role_a is not None
    world = world.with_role(replace(role_a, permissions=(allow("sts:AssumeRole", Resource=f"{ROLE_B}*"),)))
    for number in range(3):
        trust = allow("sts:AssumeRole", Principal={"AWS": ROLE_A})
        world = world.with_role(RoleSpec(arn=f"{ROLE_B}-{number}", trust=trust))
    return world
