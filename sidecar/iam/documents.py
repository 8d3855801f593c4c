"""What IAM must hold so that chains can be walked, as values: no more than that, and nothing of it to spare.

    the token ─ provider, trust (aud, sub) ─▶ role A ─ permission ┐
                                                                  ├─▶ role B ─ …
                        trust (role A's ARN, external id) ────────┘

Within one account a trust policy that names the role is enough, so there is no permission for such a hop.
Source: IAM user guide, "Cross-account policy evaluation logic", "Pass session tags", "Monitor and control actions taken
with assumed roles".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.model import Hop, Role, Target

Policy = Mapping[str, Any]

TAG, IDENTIFY = "sts:TagSession", "sts:SetSourceIdentity"
# The inline policy's name: one of ours, so that nobody else's is replaced.
POLICY_NAME = "credential-sidecar"
# How the choice not to make a provider is explained.
EXISTS = "false where the account has an OIDC provider for the issuer; then add the audience to that one"
# What IAM itself gives a role, in seconds (CreateRole.MaxSessionDuration).
DEFAULT_LONGEST = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whose token hop 1 spends: the URL of its issuer, its audiences, its subject."""

    issuer: str
    audiences: tuple[str, ...]
    subject: str

    @property
    def bare(self) -> str:
        """The issuer as ARNs and condition keys have it: without its scheme."""
        return self.issuer.partition("://")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An IAM OIDC provider: its ARN, the issuer's URL, the audiences (client ids) that it accepts."""

    arn: str
    url: str
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What one role needs: its trust policy, the permission to go on, and how long a session it must grant.

    `permissions` is None where no hop from it needs one, `longest` (seconds) where IAM's default will do. `sources` are
    the roles of its own account that it trusts: they must be there first.
    """

    role: Role
    trust: Policy
    permissions: Policy | None
    longest: int | None
    sources: tuple[Role, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one account needs: the providers, and the roles in the order in which they are walked."""

    id: str
    partition: str
    providers: tuple[Provider, ...]
    roles: tuple[Documents, ...]


def accounts(targets: Iterable[Target], bearers: Mapping[str, Bearer]) -> tuple[Account, ...]:
    """What each account of the chains needs, in the order of the walk; `bearers` are by the path of their token."""
    hops = tuple(dict.fromkeys(hop for target in targets for hop in target.hop.chain))
    roles = tuple(dict.fromkeys(hop.role for hop in hops))
    found = dict.fromkeys((role.account, role.partition) for role in roles)
    return tuple(
        Account(
            id=account,
            partition=partition,
            providers=_providers(account, hops, bearers),
            roles=tuple(_documents(role, hops, bearers) for role in roles if role.account == account),
        )
        for account, partition in found
    )


def labels(roles: Iterable[Role], make: Callable[[str], str]) -> dict[Role, str]:
    """A name for each role in a language that takes fewer characters than IAM; a number keeps two of them apart."""
    named: dict[Role, str] = {}
    for role in roles:
        label, taken = make(role.name), {*named.values()}
        named[role] = next(
            one for one in (label, *(f"{label}{n}" for n in range(2, len(taken) + 3))) if one not in taken
        )
    return named


def words(name: str) -> list[str]:
    """The letters and digits of a role's name, where anything else divides them."""
    return re.findall("[A-Za-z0-9]+", name) or ["role"]


def _documents(role: Role, hops: Sequence[Hop], bearers: Mapping[str, Bearer]) -> Documents:
    into, onward = [hop for hop in hops if hop.role == role], [hop for hop in hops if _source(hop) == role]
    sources = dict.fromkeys(source for hop in into if (source := _source(hop)) and source != role)
    permissions = [*_permissions(role, onward)]
    longest = max(hop.duration for hop in into)
    return Documents(
        role=role,
        trust=_policy([*_federated(into, bearers), *_chained(into)]),
        permissions=_policy(permissions) if permissions else None,
        longest=longest if longest > DEFAULT_LONGEST else None,
        sources=tuple(source for source in sources if source.account == role.account),
    )


def _source(hop: Hop) -> Role | None:
    return hop.source.role if hop.source else None


def _providers(account: str, hops: Iterable[Hop], bearers: Mapping[str, Bearer]) -> tuple[Provider, ...]:
    accepted: dict[tuple[str, str], dict[str, None]] = {}
    for hop in hops:
        if hop.source is None and hop.role.account == account:
            bearer = bearers[hop.token_file]
            place = _provider(hop.role, bearer), bearer.issuer
            accepted.setdefault(place, {}).update(dict.fromkeys(bearer.audiences))
    return tuple(Provider(arn=arn, url=url, audiences=tuple(each)) for (arn, url), each in accepted.items())


def _provider(role: Role, bearer: Bearer) -> str:
    return f"arn:{role.partition}:iam::{role.account}:oidc-provider/{bearer.bare}"


def _federated(hops: Iterable[Hop], bearers: Mapping[str, Bearer]) -> Iterator[Policy]:
    """Trust in the tokens that these hops spend."""
    first = [(hop.role, bearers[hop.token_file]) for hop in hops if hop.source is None]
    for arn, bearer in dict.fromkeys((_provider(role, bearer), bearer) for role, bearer in first):
        wanted = {f"{bearer.bare}:aud": _plain(bearer.audiences), f"{bearer.bare}:sub": bearer.subject}
        condition = {"StringEquals": wanted}
        yield _allow("sts:AssumeRoleWithWebIdentity", Principal={"Federated": arn}, Condition=condition)


def _chained(hops: Iterable[Hop]) -> Iterator[Policy]:
    """Trust in the very roles that these hops come from, and in what their sessions carry."""
    for source, group in _grouped((hop.source.role, hop) for hop in hops if hop.source):
        principal = {"AWS": source.arn}
        demanded = {hop.external_id for hop in group}
        asked = tuple(sorted(each for each in demanded if each))
        # Where one of the hops gives none, a statement without the condition is needed and the other is idle.
        condition = {} if None in demanded else {"Condition": {"StringEquals": {"sts:ExternalId": _plain(asked)}}}
        yield _allow("sts:AssumeRole", Principal=principal, **condition)
        if carried := _carried(group):
            yield _allow(*carried, Principal=principal)


def _permissions(source: Role, hops: Iterable[Hop]) -> Iterator[Policy]:
    """What `source` must be allowed, so that its sessions can make these hops."""
    for role, group in _grouped((hop.role, hop) for hop in hops):
        if role.account != source.account:
            yield _allow("sts:AssumeRole", *_carried(group), Resource=role.arn)


def _carried(hops: Iterable[Hop]) -> tuple[str, ...]:
    """What must be allowed beside sts:AssumeRole: for tags, own or inherited, and for a source identity ever since."""
    group = tuple(hops)
    is_tagged = any(hop.tags or any(before.transitive_tags for before in hop.chain[:-1]) for hop in group)
    is_identified = any(each.source_identity for hop in group for each in hop.chain)
    return (*([TAG] if is_tagged else []), *([IDENTIFY] if is_identified else []))


def _grouped(pairs: Iterable[tuple[Role, Hop]]) -> Iterable[tuple[Role, list[Hop]]]:
    groups: dict[Role, list[Hop]] = {}
    for role, hop in pairs:
        groups.setdefault(role, []).append(hop)
    return groups.items()


def _policy(statements: Sequence[Policy]) -> Policy:
    return {"Version": "2012-10-17", "Statement": [*statements]}


def _allow(*actions: str, **elements: object) -> Policy:
    first = {"Principal": elements.pop("Principal")} if "Principal" in elements else {}
    return {"Effect": "Allow", **first, "Action": _plain(actions), **elements}


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else [*values]
