"""Terraform: the resources of each account, as `terraform fmt` would have them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar.iam.documents import EXISTS, POLICY_NAME, Account, Documents, Provider, labels, words

# The first in which an OIDC provider needs no thumbprint: IAM finds it by itself.
_AWS = {"aws": {"source": "hashicorp/aws", "version": ">= 5.81"}}


class _Expression(str):
    """A piece of the language itself, where any other text is a string in it."""

    __slots__ = ()


def render(accounts: Sequence[Account]) -> str:
    """The configurations, one after the other: each is for a directory of its own, with its account's credentials."""
    blocks = (block for account in accounts for block in _account(account))
    return "\n\n".join("\n".join(block) for block in blocks)


def _account(account: Account) -> Iterator[Iterable[str]]:
    yield [f"# Account {account.id}", *_block("terraform", _block("required_providers", _attributes(_AWS)))]
    if account.providers:
        choice = {"description": EXISTS, "type": _Expression("bool"), "default": True}
        yield _block('variable "create_provider"', _attributes(choice))
    for number, provider in enumerate(account.providers, 1):
        yield _provider(f"cluster_{number}" if number > 1 else "cluster", provider)
    names = labels((each.role for each in account.roles), lambda name: "_".join(["role", *words(name)]).lower())
    for wanted in account.roles:
        yield _role(names[wanted.role], wanted, [names[source] for source in wanted.sources])
        if wanted.permissions:
            yield _permission(names[wanted.role], wanted)


def _provider(label: str, provider: Provider) -> Iterable[str]:
    count = {"count": _Expression("var.create_provider ? 1 : 0")}
    body = {"url": provider.url, "client_id_list": [*provider.audiences]}
    return _block(
        f'resource "aws_iam_openid_connect_provider" "{label}"', [*_attributes(count), "", *_attributes(body)]
    )


def _role(label: str, wanted: Documents, after: Sequence[str]) -> Iterable[str]:
    body: dict[str, Any] = {"name": wanted.role.name, "path": f"/{wanted.role.path}"}
    if wanted.longest:
        body["max_session_duration"] = wanted.longest
    body["assume_role_policy"] = wanted.trust
    if after:
        body["depends_on"] = [_Expression(f"aws_iam_role.{each}") for each in after]
    return _block(f'resource "aws_iam_role" "{label}"', _attributes(body, encoded=True))


def _permission(label: str, wanted: Documents) -> Iterable[str]:
    body = {"name": POLICY_NAME, "role": _Expression(f"aws_iam_role.{label}.name"), "policy": wanted.permissions}
    return _block(f'resource "aws_iam_role_policy" "{label}"', _attributes(body, encoded=True))


def _block(head: str, body: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    yield from (f"  {line}".rstrip() for line in body)
    yield "}"


def _attributes(values: Mapping[str, Any], *, encoded: bool = False) -> Iterator[str]:
    """`key = value` for each; the equals signs of neighbours that take one line stand below each other.

    With `encoded` what is an object is handed over as JSON.
    """
    lines = {_key(key): [*_value(value, encoded=encoded)] for key, value in values.items()}
    waiting: list[str] = []
    for key, (first, *more) in lines.items():
        if not more:
            waiting.append(key)
            continue
        yield from _aligned(waiting, lines)
        waiting = []
        yield f"{key} = {first}"
        yield from more
    yield from _aligned(waiting, lines)


def _aligned(keys: Sequence[str], lines: Mapping[str, Sequence[str]]) -> Iterator[str]:
    width = max(map(len, keys), default=0)
    return (f"{key:<{width}} = {lines[key][0]}" for key in keys)


def _value(value: object, *, encoded: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "jsonencode({" if encoded else "{"
        yield from (f"  {line}" for line in _attributes(value))
        yield "})" if encoded else "}"
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        yield "["
        for each in value:
            *lines, last = _value(each)
            yield from (f"  {line}" for line in (*lines, f"{last},"))
        yield "]"
    elif isinstance(value, list):
        yield f"[{', '.join(text for each in value for text in _value(each))}]"
    else:
        yield (
            value if isinstance(value, _Expression) else _quoted(value) if isinstance(value, str) else json.dumps(value)
        )


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) else _quoted(key)


def _quoted(text: str) -> str:
    """As a string of the language, in which nothing is a template."""
    return re.sub(r"([$%])\{", r"\1\1{", json.dumps(text, ensure_ascii=False))
