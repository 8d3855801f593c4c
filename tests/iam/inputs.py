"""What the files of deploy/iam are given, so that they make what `iam` prints: derived from the printed document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.iam.documents import IDENTIFY, TAG
from tests.iam.scenarios import SAID, SCENARIOS, Document, document

# Every scenario but those in which a role is on the way to more than one other: the files are for one chain.
CHAINS = [name for name in SCENARIOS if name != "two targets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One role: the file that makes it, what that is given, and what has to come out."""

    file: str
    values: Mapping[str, Any]
    role: Mapping[str, Any]


def inputs(name: str) -> Iterator[Input]:
    """What each role of the scenario's chain wants, in terms of the Terraform modules' variables."""
    for account in document(SCENARIOS[name])["accounts"]:
        yield from (_input(role) for role in account["roles"])


def _input(role: Document) -> Input:
    trust, *carried = role["trust_policy"]["Statement"]
    onward = role.get("permission_policy", {"Statement": [{"Action": ()}]})["Statement"][0]
    common = {
        "role_arn": role["arn"],
        "next_role_arn": onward.get("Resource"),
        "next_session_tags": TAG in onward["Action"],
        "next_source_identity": IDENTIFY in onward["Action"],
        "policy_arns": [],
    }
    if "Federated" in trust["Principal"]:
        bearer = {"issuer": SAID.issuer, "audience": SAID.audience, "subject": SAID.subject, "create_provider": True}
        longest = {"max_session_duration": role.get("max_session_duration", 3600)}
        return Input(file="account-a", values={**common, **bearer, **longest}, role=role)
    beside = {action for statement in carried for action in listed(statement["Action"])}
    source = {
        "source_role_arn": trust["Principal"]["AWS"],
        "external_id": trust.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId"),
        "session_tags": TAG in beside,
        "source_identity": IDENTIFY in beside,
    }
    return Input(file="account-b", values={**common, **source}, role=role)


def listed(value: str | list[str]) -> list[str]:
    """A policy's value that may be one or many, as many."""
    return [value] if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """A policy in which a list of one is that one: IAM takes both for the same."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return value[0] if len(value) == 1 and isinstance(value[0], str) else [plain(each) for each in value]
    return value


def placed(arn: str) -> tuple[str, str, str, str]:
    """Partition, account, path and name of a role's ARN."""
    found = re.fullmatch(r"arn:([a-z-]+):iam::(\d{12}):role(/(?:.*/)?)([^/]+)", arn)
    assert found is not None
    partition, account, path, name = found.groups()
    return partition, account, path, name
