"""CloudFormation: a template for each account, in YAML."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.iam.documents import EXISTS, POLICY_NAME, Account, Documents, labels, words

_CHOICE = {"Type": "String", "AllowedValues": ["true", "false"], "Default": "true", "Description": EXISTS}


def render(accounts: Sequence[Account]) -> str:
    """The templates, one after the other as YAML documents: each is for the stack of its own account."""
    return "---\n".join("\n".join(_template(account)) + "\n" for account in accounts).rstrip("\n")


def _template(account: Account) -> Iterator[str]:
    yield f"# Account {account.id}. A stack of it wants --capabilities CAPABILITY_NAMED_IAM."
    names = labels((each.role for each in account.roles), _logical)
    resources = dict(_providers(account))
    for wanted in account.roles:
        resources[names[wanted.role]] = _role(wanted, [names[source] for source in wanted.sources])
    template: dict[str, Any] = {"AWSTemplateFormatVersion": "2010-09-09"}
    if account.providers:
        template["Parameters"] = {"CreateProvider": _CHOICE}
        template["Conditions"] = {"CreatesProvider": {"Fn::Equals": [{"Ref": "CreateProvider"}, "true"]}}
    yield from _yaml({**template, "Resources": resources})


def _providers(account: Account) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, each in enumerate(account.providers, 1):
        properties = {"Url": each.url, "ClientIdList": [*each.audiences]}
        resource = {"Type": "AWS::IAM::OIDCProvider", "Condition": "CreatesProvider", "Properties": properties}
        yield f"Provider{number if number > 1 else ''}", resource


def _role(wanted: Documents, after: Sequence[str]) -> Mapping[str, Any]:
    properties: dict[str, Any] = {"RoleName": wanted.role.name, "Path": f"/{wanted.role.path}"}
    properties["AssumeRolePolicyDocument"] = wanted.trust
    if wanted.longest:
        properties["MaxSessionDuration"] = wanted.longest
    if wanted.permissions:
        properties["Policies"] = [{"PolicyName": POLICY_NAME, "PolicyDocument": wanted.permissions}]
    before = {"DependsOn": [*after]} if after else {}
    return {"Type": "AWS::IAM::Role", **before, "Properties": properties}


def _logical(name: str) -> str:
    return "Role" + "".join(word[0].upper() + word[1:] for word in words(name))


def _yaml(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Block YAML: strings as JSON writes them, which YAML reads alike, so that no date and no `no` is mistaken."""
    pairs = value.items() if isinstance(value, Mapping) else (("-", each) for each in value)
    for key, each in pairs:
        head = "-" if isinstance(value, Sequence) else f"{_key(key)}:"
        if not isinstance(each, Mapping | list):
            yield f"{head} {json.dumps(each, ensure_ascii=False)}"
            continue
        inner = [*_yaml(each)]
        if head == "-":
            yield f"- {inner[0]}"
            inner = inner[1:]
        else:
            yield head
        yield from (f"  {line}" for line in inner)


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9:]+", key) else json.dumps(key, ensure_ascii=False)
