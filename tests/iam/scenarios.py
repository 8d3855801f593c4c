"""The chains that `iam` is tried with: settings or profiles, and what it prints for them, as an emulator's world."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sidecar import config, iam
from sidecar.config import Config
from sidecar.emulator import Account, OidcProvider, RoleSpec, World

SAID: Final = iam.Said(
    issuer="https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",
    audience="sts.amazonaws.com",
    subject="system:serviceaccount:shop:orders",
)
REGIONS: Final = {"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
A, B, C = "111122223333", "444455556666", "777788889999"
# A place in the printed document: keys and numbers, from the outside in.
Place = tuple[str | int, ...]
Document = dict[str, Any]


def arn(account: str, name: str, partition: str = "aws") -> str:
    """The ARN of a role; `name` may have a path before it."""
    return f"arn:{partition}:iam::{account}:role/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A configuration: environment variables, and an AWS config file's profiles, in which TOKEN is the token's path."""

    settings: Mapping[str, str] = field(default_factory=dict)
    profiles: str = ""

    def environ(self, home: Path, token: Path) -> dict[str, str]:
        """The sidecar's environment, with its files below `home`."""
        (home / "config").write_text(self.profiles.replace("TOKEN", str(token)))
        files = {"AWS_CONFIG_FILE": str(home / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        token_file = {} if self.profiles else {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
        return {"AWS_REGION": REGIONS["aws"], **files, **token_file, **self.settings}

    def but(self, **settings: str) -> Scenario:
        """The same with other settings."""
        return replace(self, settings={**self.settings, **settings})

    @contextmanager
    def resolved(self) -> Iterator[Config]:
        """Its configuration, where nothing is walked."""
        with TemporaryDirectory() as home:
            yield config.resolve({}, self.environ(Path(home), Path("/nowhere/token")))


def _chained(partition: str = "aws", **settings: str) -> Scenario:
    roles = {
        "AWS_ROLE_ARN": arn(A, "account-a-role", partition),
        "SIDECAR_TARGET_ROLE_ARN": arn(B, "account-b-role", partition),
    }
    return Scenario(settings={**roles, "AWS_REGION": REGIONS[partition], **settings})


def _profiles(text: str, *names: str) -> Scenario:
    return Scenario(settings={"SIDECAR_PROFILES": ",".join(names)}, profiles=text)


_TAGS = {"SIDECAR_SESSION_TAGS": "team=orders,cost=42"}
_IDENTITY = {"SIDECAR_SOURCE_IDENTITY": "orders"}
_EXTERNAL_ID = {"SIDECAR_EXTERNAL_ID": "orders-2026"}
_DIRECT = {"AWS_ROLE_ARN": arn(B, "account-b-role"), "SIDECAR_TARGET_ROLE_ARN": "direct"}

_FIRST = f"[profile a]\nrole_arn = {arn(A, 'account-a-role')}\nweb_identity_token_file = TOKEN\n"
# Tags that are carried on, and a source identity, which always is; the third role has a path.
_THREE = f"""{_FIRST}[profile b]
role_arn = {arn(B, "account-b-role")}
source_profile = a
sidecar_session_tags = team=orders
sidecar_transitive_tags = team
sidecar_source_identity = orders
[profile c]
role_arn = {arn(C, "data/lake/account-c-role")}
source_profile = b
external_id = lake/7
"""
# Three roles of one account after each other, and then another account.
_INSIDE = f"""{_FIRST}[profile b]
role_arn = {arn(A, "second-role")}
source_profile = a
sidecar_session_tags = team=orders
[profile c]
role_arn = {arn(B, "account-b-role")}
source_profile = b
"""
# Two targets behind one first hop, one in two accounts, the other with an external id of its own and tags.
_SHARED = f"""{_FIRST}[profile b]
role_arn = {arn(B, "account-b-role")}
source_profile = a
[profile c]
role_arn = {arn(C, "account-c-role")}
source_profile = a
external_id = invoices
sidecar_session_tags = team=invoices
"""

SCENARIOS: Final[Mapping[str, Scenario]] = {
    **{f"chained, {partition}": _chained(partition) for partition in REGIONS},
    **{f"all at once, {partition}": _chained(partition, **_TAGS, **_IDENTITY, **_EXTERNAL_ID) for partition in REGIONS},
    "external id": _chained(**_EXTERNAL_ID),
    "tags": _chained(**_TAGS),
    "source identity": _chained(**_IDENTITY),
    "long": _chained(SIDECAR_SOURCE_DURATION="7200"),
    "direct": Scenario(settings=_DIRECT),
    "direct and long": Scenario(settings={**_DIRECT, "SIDECAR_DURATION": "43200"}),
    "three hops": _profiles(_THREE, "c"),
    "one account twice": _profiles(_INSIDE, "c"),
    "two targets": _profiles(_SHARED, "b", "c"),
    "a target on the way": _profiles(_THREE, "c", "b"),
}


def printed(scenario: Scenario, form: str = "json", *, target: str | None = None, account: str | None = None) -> str:
    """What `iam` prints for it, with everything of the token said."""
    with scenario.resolved() as resolved:
        return iam.describe(resolved, form, SAID, target=target, account=account)[0]


def document(scenario: Scenario) -> Document:
    """The same as the JSON document that it is."""
    found: Document = json.loads(printed(scenario))
    return found


def world(said: Document) -> World:
    """The IAM world that the document describes, and nothing else in it."""
    return World(accounts=tuple(_account(each) for each in said["accounts"]))


def _account(said: Mapping[str, Any]) -> Account:
    providers = [OidcProvider(issuer=each["url"], audiences=tuple(each["audiences"])) for each in said["providers"]]
    return Account(id=said["account"], roles=tuple(map(_role, said["roles"])), providers=tuple(providers))


def _role(said: Mapping[str, Any]) -> RoleSpec:
    permissions = [said[name] for name in ("permission_policy",) if name in said]
    longest = said.get("max_session_duration", 3600)
    return RoleSpec(
        arn=said["arn"], trust=said["trust_policy"], permissions=tuple(permissions), max_session_duration=longest
    )


def without(said: Document, place: Place) -> Document:
    """The document without what is at `place`."""
    changed: Document = deepcopy(said)
    inner: Any = changed
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    return changed


def parts(said: Document) -> Iterator[tuple[Place, str]]:
    """Every part that could be left out, with the code that STS then answers: provider, audience, statement, action (of
    several), duration."""
    for number, account in enumerate(said["accounts"]):
        for which, provider in enumerate(account["providers"]):
            place: Place = ("accounts", number, "providers", which)
            yield place, "InvalidIdentityToken"
            yield from (((*place, "audiences", n), "InvalidIdentityToken") for n in range(len(provider["audiences"])))
        for which, role in enumerate(account["roles"]):
            yield from (((*("accounts", number, "roles", which), *inner), code) for inner, code in _of_role(role))


def _of_role(role: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if "max_session_duration" in role:
        yield ("max_session_duration",), "ValidationError"
    for policy in [name for name in ("trust_policy", "permission_policy") if name in role]:
        for number, statement in enumerate(role[policy]["Statement"]):
            yield (policy, "Statement", number), "AccessDenied"
            if isinstance(statement["Action"], list):
                actions = range(len(statement["Action"]))
                yield from (((policy, "Statement", number, "Action", n), "AccessDenied") for n in actions)
