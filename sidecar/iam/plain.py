"""The documents as they are: JSON, an object for each account and role."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.iam.documents import Account, Documents


def render(accounts: Sequence[Account]) -> str:
    """One JSON object with every account."""
    return json.dumps({"accounts": [_account(each) for each in accounts]}, indent=2, ensure_ascii=False)


def _account(account: Account) -> Mapping[str, Any]:
    providers = [{"arn": each.arn, "url": each.url, "audiences": [*each.audiences]} for each in account.providers]
    roles = [_role(each) for each in account.roles]
    return {"account": account.id, "partition": account.partition, "providers": providers, "roles": roles}


def _role(wanted: Documents) -> Mapping[str, Any]:
    role: dict[str, Any] = {"arn": wanted.role.arn, "trust_policy": wanted.trust}
    if wanted.permissions:
        role["permission_policy"] = wanted.permissions
    if wanted.longest:
        role["max_session_duration"] = wanted.longest
    return role
