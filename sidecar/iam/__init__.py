"""What IAM must hold for the configured chains and the real token: per account and role, in four languages.

Rooms: documents (what is needed, as values) · bearer (whose token it is: read, or said) · plain, cloudformation,
terraform, shell (the languages). Beside the daemon; nothing of AWS is called.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from sidecar.config import Config
from sidecar.errors import ConfigError
from sidecar.iam import cloudformation, plain, shell, terraform
from sidecar.iam.bearer import Said, read
from sidecar.iam.documents import Account, Bearer, accounts
from sidecar.model import Hop, Target

__all__ = ["FORMATS", "Said", "describe", "pieces"]

FORMATS: Mapping[str, Callable[[Sequence[Account]], str]] = {
    "json": plain.render,
    "cloudformation": cloudformation.render,
    "terraform": terraform.render,
    "cli": shell.render,
}
# What policies read as a pattern or as a variable.
_SPECIAL = re.compile(r"[*?$]")


def describe(
    config: Config, form: str, said: Said, *, target: str | None = None, account: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The text in the language `form` for the chain of `target`, or of all targets, and what else has to be known.

    `account` is the id of the one account that is described; `said` takes the place of the token's claims.

    Raises:
        ConfigError: there is no such target or account, or a role whose ARN a policy would not take literally.
        TokenError: a token cannot be read, and not all of its claims are said.
    """
    targets, bearers = _whose(config, said, target)
    found = accounts(targets, bearers)
    mine = [each for each in found if account in (None, each.id)]
    if not mine:
        remedy = f"The chain is in {', '.join(each.id for each in found)}."
        raise ConfigError.of("--account", account, "flag --account", "no role of the chain is in this account", remedy)
    return FORMATS[form](mine), tuple(dict.fromkeys([*_of_bearers(bearers), *_of_sessions(targets)]))


def pieces(config: Config) -> Mapping[tuple[str, str], str]:
    """The commands of the AWS CLI one by one, by what they set right and whose it is: see `shell.pieces`.

    Raises TokenError where a token cannot be read, ConfigError for a role whose ARN a policy would not take literally.
    """
    found: dict[tuple[str, str], str] = {}
    for what, whose, command in shell.pieces(accounts(*_whose(config, Said(), None))):
        found[what, whose] = "\n".join(filter(None, (found.get((what, whose)), command)))
    return found


def _whose(config: Config, said: Said, target: str | None) -> tuple[tuple[Target, ...], Mapping[str, Bearer]]:
    targets = config.targets if target is None else (config.target(target),)
    _check_roles(targets)
    paths = dict.fromkeys(each.hop.chain[0].token_file for each in targets)
    return targets, {path: read(path, said) for path in paths}


def _check_roles(targets: Sequence[Target]) -> None:
    for hop in _hops(targets):
        if _SPECIAL.search(hop.role.path):
            wrong, remedy = "a policy would read its path as a pattern", "Give the role a path without * ? $."
            raise ConfigError.of("role", hop.role.arn, f"hop {hop.position}", wrong, remedy)


def _of_bearers(bearers: Mapping[str, Bearer]) -> Iterator[str]:
    for bearer in bearers.values():
        if not bearer.issuer.startswith("https://"):
            yield f"IAM takes no provider for the issuer {bearer.issuer}: it is no https URL"


def _of_sessions(targets: Sequence[Target]) -> Iterator[str]:
    for hop in _hops(targets):
        if hop.source and (hop.source.policy or hop.source.policy_arns):
            what = f"sts:AssumeRole (and what stands beside it) on {hop.role.arn}"
            yield f"hop {hop.source.position} has a session policy, which must itself allow {what}"


def _hops(targets: Sequence[Target]) -> Iterator[Hop]:
    return (hop for target in targets for hop in target.hop.chain)
