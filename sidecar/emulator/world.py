"""The IAM universe as values: accounts, their OIDC providers and roles, and the two accounts of the EKS guide.

Every policy is read when its role is made (`PolicyError` says what is not covered), so that the world that STS judges
by is always one that it understands. Replace the world to edit it: `dataclasses.replace`, `World.with_role`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sidecar.emulator.policy import Policy, check_identity, check_trust

_ROLE_ARN: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):iam::(?P<account>\d{12}):role/(?P<path>(?:[!-.0-~]+/)*)(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleArn:
    """The parts of a role's ARN; `path` is `""` or ends with a slash (`team/shop/`)."""

    partition: str
    account: str
    path: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RoleArn | None:
        """The parts of `text`, or None where it is no IAM role ARN."""
        found = _ROLE_ARN.fullmatch(text)
        return None if found is None else cls(**found.groupdict())

    def __str__(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.path}{self.name}"

    def session(self, name: str) -> str:
        """The ARN of the role session `name`; it has no trace of the role's path (IAM guide, IAM identifiers)."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{self.name}/{name}"

    def provider(self, issuer: str) -> str:
        """The ARN of the OIDC provider for `issuer` in this role's account."""
        return f"arn:{self.partition}:iam::{self.account}:oidc-provider/{bare(issuer)}"


def bare(issuer: str) -> str:
    """An issuer as ARNs and condition keys have it: without its scheme."""
    return issuer.split("://", 1)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """An IAM OIDC provider: the issuer it trusts (URL) and the audiences (client ids) it accepts."""

    issuer: str
    audiences: tuple[str, ...] = ("sts.amazonaws.com",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """A role: ARN (a path is allowed), trust policy, permission policies, longest session (seconds, 3600-43200)."""

    arn: str
    trust: Policy
    permissions: tuple[Policy, ...] = ()
    max_session_duration: int = 3600  # IAM's default, CreateRole

    def __post_init__(self) -> None:
        if RoleArn.parse(self.arn) is None:
            raise ValueError(f"{self.arn!r} is no role ARN")
        if not 3600 <= self.max_session_duration <= 43200:  # IAM, CreateRole.MaxSessionDuration
            raise ValueError(f"max_session_duration is 3600 to 43200, not {self.max_session_duration}")
        check_trust(self.trust)
        for policy in self.permissions:
            check_identity(policy)

    @property
    def unique_id(self) -> str:
        """The role's `AROA…` id: the same for the same ARN."""
        return "AROA" + base64.b32encode(hashlib.sha256(self.arn.encode()).digest())[:17].decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An AWS account: its 12-digit id, its roles and its OIDC providers."""

    id: str
    roles: tuple[RoleSpec, ...] = ()
    providers: tuple[OidcProvider, ...] = ()

    def __post_init__(self) -> None:
        for role in self.roles:
            if (arn := RoleArn.parse(role.arn)) is None or arn.account != self.id:
                raise ValueError(f"{role.arn} is no role of account {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Every account there is, and the managed policies (ARN to document) that a session policy may name."""

    accounts: tuple[Account, ...]
    managed_policies: Mapping[str, Policy] = field(default_factory=dict)

    def role(self, arn: str) -> RoleSpec | None:
        """The role with this ARN, path included, or None."""
        return next((role for account in self.accounts for role in account.roles if role.arn == arn), None)

    def provider(self, account: str, issuer: str) -> OidcProvider | None:
        """The provider for `issuer` in `account`, or None."""
        return next(
            (one for held in self.accounts if held.id == account for one in held.providers if one.issuer == issuer),
            None,
        )

    def with_role(self, role: RoleSpec) -> World:
        """This world with `role` added to its account, in place of the one with the same ARN."""
        accounts = tuple(
            replace(account, roles=(*(one for one in account.roles if one.arn != role.arn), role))
            if f"::{account.id}:" in role.arn
            else account
            for account in self.accounts
        )
        return replace(self, accounts=accounts)

    def without_role(self, arn: str) -> World:
        """This world without the role `arn`."""
        accounts = tuple(
            replace(held, roles=tuple(one for one in held.roles if one.arn != arn)) for held in self.accounts
        )
        return replace(self, accounts=accounts)


ACCOUNT_A: Final = "111122223333"  # the account ids of the EKS guide
ACCOUNT_B: Final = "444455556666"


def allow(action: str | list[str], **elements: object) -> Policy:
    """A policy of one Allow statement: `allow("sts:AssumeRole", Resource="*")`."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **elements, "Action": action}]}


def federated_trust(provider: str, issuer: str, audience: str, subject: str) -> Policy:
    """A trust policy for one service account: the provider's ARN with `aud` and `sub` conditions."""
    wanted = {f"{bare(issuer)}:aud": audience, f"{bare(issuer)}:sub": subject}
    return allow("sts:AssumeRoleWithWebIdentity", Principal={"Federated": provider}, Condition={"StringEquals": wanted})


def guide_world(
    issuer: str,
    mode: Literal["chained", "direct"] = "chained",
    *,
    namespace: str = "shop",
    service_account: str = "orders",
    audience: str = "sts.amazonaws.com",
    partition: str = "aws",
) -> World:
    """The two accounts of the EKS guide, "Authenticate to another account with IRSA", in either of its two ways.

    The guide's sample trust policies are wider than its own advice; here they follow the advice: `aud` and `sub`
    conditions for the service account, and Account B trusts Account A's role rather than all of Account A.
    """
    role_a, role_b = (
        RoleArn(partition=partition, account=account, path="", name=name)
        for account, name in ((ACCOUNT_A, "account-a-role"), (ACCOUNT_B, "account-b-role"))
    )
    subject = f"system:serviceaccount:{namespace}:{service_account}"
    first = role_a if mode == "chained" else role_b
    trust = federated_trust(first.provider(issuer), issuer, audience, subject)
    provider = OidcProvider(issuer=issuer, audiences=(audience,))
    data = allow("s3:GetObject", Resource=f"arn:{partition}:s3:::account-b-data/*")
    if mode == "direct":
        hosted = RoleSpec(arn=str(role_b), trust=trust, permissions=(data,))
        return World(accounts=(Account(id=ACCOUNT_A), Account(id=ACCOUNT_B, roles=(hosted,), providers=(provider,))))
    onward = allow("sts:AssumeRole", Resource=str(role_b))
    source = RoleSpec(arn=str(role_a), trust=trust, permissions=(onward,))
    target = RoleSpec(
        arn=str(role_b), trust=allow("sts:AssumeRole", Principal={"AWS": str(role_a)}), permissions=(data,)
    )
    account_a = Account(id=ACCOUNT_A, roles=(source,), providers=(provider,))
    return World(accounts=(account_a, Account(id=ACCOUNT_B, roles=(target,))))
