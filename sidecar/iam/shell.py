"""Commands of the AWS CLI, to paste: what is there is brought in step, what is not is made.

They do nothing where the shell's credentials are of another account.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from sidecar.iam.documents import POLICY_NAME, Account, Documents, Provider


def render(accounts: Sequence[Account]) -> str:
    """A subshell for each account, in the order in which they must be made: a role must be there to be trusted."""
    return "\n".join(line for account in accounts for line in _account(account))


def _account(account: Account) -> Iterator[str]:
    yield f"# Account {account.id}. A trust policy that a role has is replaced."
    yield "("
    yield "set -e; export AWS_PAGER="
    yield f'[ "$(aws sts get-caller-identity --query Account --output text)" = {account.id} ] ||'
    yield f"  {{ echo 'these are not the credentials of account {account.id}' >&2; exit 1; }}"
    for provider in account.providers:
        yield from _provider(provider)
    for wanted in account.roles:
        yield from _role(wanted)
    yield ")"


def _provider(provider: Provider) -> Iterator[str]:
    which = {"open-id-connect-provider-arn": provider.arn}
    yield "# An old AWS CLI wants a --thumbprint-list, too, to make a provider."
    yield f"{_iam('get-open-id-connect-provider', which)} >/dev/null 2>&1 ||"
    made = {"url": provider.url, "client-id-list": [*provider.audiences]}
    yield f"  {_iam('create-open-id-connect-provider', made)}"
    for audience in provider.audiences:
        yield _iam("add-client-id-to-open-id-connect-provider", {**which, "client-id": audience})


def _role(wanted: Documents) -> Iterator[str]:
    role, which = wanted.role, {"role-name": wanted.role.name}
    made = {**which, "path": f"/{role.path}", "assume-role-policy-document": wanted.trust}
    yield f"{_iam('get-role', which)} >/dev/null 2>&1 ||"
    yield f"  {_iam('create-role', made)}"
    yield _iam("wait role-exists", which)
    yield from (command for _, command in _set_right(wanted))


def pieces(accounts: Sequence[Account]) -> Iterator[tuple[str, str, str]]:
    """Each command that sets one thing right: what that is, whose (a role's ARN, an account's id), the command.

    `provider`, `audience`; `trust`, `permissions`, `duration`.
    """
    for account in accounts:
        for provider in account.providers:
            which = {"open-id-connect-provider-arn": provider.arn}
            made = {"url": provider.url, "client-id-list": [*provider.audiences]}
            yield "provider", account.id, _iam("create-open-id-connect-provider", made)
            for audience in provider.audiences:
                added = _iam("add-client-id-to-open-id-connect-provider", {**which, "client-id": audience})
                yield "audience", account.id, added
        for wanted in account.roles:
            yield from ((what, wanted.role.arn, command) for what, command in _set_right(wanted))


def _set_right(wanted: Documents) -> Iterator[tuple[str, str]]:
    which = {"role-name": wanted.role.name}
    yield "trust", _iam("update-assume-role-policy", {**which, "policy-document": wanted.trust})
    if wanted.longest:
        yield "duration", _iam("update-role", {**which, "max-session-duration": wanted.longest})
    if wanted.permissions:
        own = {**which, "policy-name": POLICY_NAME, "policy-document": wanted.permissions}
        yield "permissions", _iam("put-role-policy", own)


def _iam(operation: str, options: Mapping[str, Any]) -> str:
    given = [word for name, value in options.items() for word in (f"--{name}", *_words(value))]
    return join(["aws", "iam", *operation.split(), *given])


def _words(value: object) -> list[str]:
    if isinstance(value, list):
        return value
    return [json.dumps(value, separators=(",", ":")) if isinstance(value, Mapping) else str(value)]
