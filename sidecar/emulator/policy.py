"""The IAM policy evaluator: what a policy document says about one request.

Covered: identity policies, role trust policies and session policies in IAM JSON; `Effect`, `Action`, `Resource` with
`*` and `?`; `Principal` as `"*"`, `AWS` (role ARN, assumed-role session ARN, account root, bare account id, `*`) and
`Federated`; `Condition` with StringEquals, StringNotEquals, StringEqualsIgnoreCase, StringNotEqualsIgnoreCase,
StringLike, StringNotLike, ArnEquals, ArnLike, ArnNotEquals, ArnNotLike, Bool and Null, each with `…IfExists`,
`ForAnyValue:` and `ForAllValues:`. An explicit Deny wins over every Allow.

Not covered: NotAction, NotResource, NotPrincipal, policy variables (`${…}`), numeric, date, binary and IP conditions.
A document that uses one is a `PolicyError` when it is read: nothing is ever ignored in silence.
Service and canonical-user principals are read and match nobody here.
Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements reference".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, Final

Policy = Mapping[str, Any]
Context = Mapping[str, tuple[str, ...]]


class PolicyError(ValueError):
    """The document is not one that this evaluator can judge; says which element and why."""


class Verdict(Enum):
    """What policies say together: nothing, yes, yes for an account's own policies to decide, or no."""

    SILENT = 0
    DELEGATED = 1  # a trust policy names the caller's account: the caller's own policies must allow it too
    ALLOWED = 2
    DENIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as a trust policy may name them: `exact` ARNs, and the `account` forms that stand for a whole
    account.
    """

    kind: str = "AWS"
    exact: frozenset[str] = frozenset()
    account: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question: may `caller` do `action` on `resource`? `context` has its condition keys in lower case."""

    action: str
    resource: str
    caller: Caller
    context: Context = field(default_factory=dict)


def judge_identity(policies: Iterable[Policy], request: Request) -> Verdict:
    """What identity (or session) policies say: SILENT, ALLOWED or DENIED."""
    verdicts = [
        _effect(statement, Verdict.ALLOWED)
        for policy in policies
        for statement in _statements(policy)
        if _wild(_listed(statement["Resource"]), request.resource) and _applies(statement, request)
    ]
    return _strongest(verdicts)


def judge_trust(policy: Policy, request: Request) -> Verdict:
    """What a role's trust policy says of the caller; DELEGATED when only the caller's whole account is named."""
    verdicts = [
        _effect(statement, grade)
        for statement in _statements(policy)
        if (grade := _grade(statement["Principal"], request.caller)) is not Verdict.SILENT
        and _applies(statement, request)
    ]
    return _strongest(verdicts)


def check_identity(policy: Policy) -> None:
    """Raise PolicyError unless `policy` is an identity policy that this evaluator covers."""
    _check(policy, required=("Effect", "Action", "Resource"))


def check_trust(policy: Policy) -> None:
    """Raise PolicyError unless `policy` is a trust policy that this evaluator covers."""
    _check(policy, required=("Effect", "Action", "Principal"))
    for statement in _statements(policy):
        principal = statement["Principal"]
        if isinstance(principal, Mapping) and set(principal) <= _PRINCIPAL_KINDS:
            for kind, named in principal.items():
                _check_texts(f"Principal {kind}", named)
        elif principal != "*":
            raise PolicyError(
                f'Principal {principal!r} is neither "*" nor a map of {", ".join(sorted(_PRINCIPAL_KINDS))}'
            )


_PRINCIPAL_KINDS: Final = frozenset({"AWS", "Federated", "Service", "CanonicalUser"})


def _strongest(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: verdict.value, default=Verdict.SILENT)


def _effect(statement: Policy, grade: Verdict) -> Verdict:
    return Verdict.DENIED if statement["Effect"] == "Deny" else grade


def _applies(statement: Policy, request: Request) -> bool:
    actions = [action.lower() for action in _listed(statement["Action"])]
    return _wild(actions, request.action.lower()) and _holds(statement.get("Condition", {}), request.context)


def _grade(principal: Any, caller: Caller) -> Verdict:
    named = _listed(principal.get(caller.kind, ())) if isinstance(principal, Mapping) else _listed(principal)
    if "*" in named or caller.exact.intersection(named):
        return Verdict.ALLOWED
    return Verdict.DELEGATED if caller.account.intersection(named) else Verdict.SILENT


def _statements(policy: Policy) -> Sequence[Policy]:
    statements = policy["Statement"]
    return [statements] if isinstance(statements, Mapping) else statements


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else list(value)


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", text))
    return re.compile("".join(parts), re.DOTALL)


def _like(value: str, pattern: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None


def _wild(patterns: Iterable[str], value: str) -> bool:
    return any(_like(value, pattern) for pattern in patterns)


def _arn_like(value: str, pattern: str) -> bool:
    """ARN patterns match part by part: a `*` never swallows a colon, save in the last of the six parts."""
    values, patterns = value.split(":", 5), pattern.split(":", 5)
    return len(values) == len(patterns) and all(map(_like, values, patterns))


def _same(value: str, wanted: str) -> bool:
    return value == wanted


def _same_folded(value: str, wanted: str) -> bool:
    return value.casefold() == wanted.casefold()


@dataclass(frozen=True, slots=True)
class _Operator:
    matches: Callable[[str, str], bool]
    negated: bool = False

    def accepts(self, value: str, wanted: Sequence[str]) -> bool:
        return any(self.matches(value, one) for one in wanted) is not self.negated


_OPERATORS: Final[Mapping[str, _Operator]] = {
    "StringEquals": _Operator(_same),
    "StringNotEquals": _Operator(_same, negated=True),
    "StringEqualsIgnoreCase": _Operator(_same_folded),
    "StringNotEqualsIgnoreCase": _Operator(_same_folded, negated=True),
    "StringLike": _Operator(_like),
    "StringNotLike": _Operator(_like, negated=True),
    "ArnEquals": _Operator(_arn_like),
    "ArnLike": _Operator(_arn_like),
    "ArnNotEquals": _Operator(_arn_like, negated=True),
    "ArnNotLike": _Operator(_arn_like, negated=True),
    "Bool": _Operator(_same_folded),
}
_CONDITION: Final = re.compile(r"(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+?)(IfExists)?")


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    return all(
        _test(name, context.get(key.lower(), ()), _listed(wanted))
        for name, block in condition.items()
        for key, wanted in block.items()
    )


def _test(name: str, values: tuple[str, ...], wanted: Sequence[str]) -> bool:
    quantifier, base, if_exists = _parsed(name)
    if base == "Null":
        return any(_same_folded(one, str(not values)) for one in wanted)
    operator = _OPERATORS[base]
    if not values:
        return if_exists or quantifier == "ForAllValues" or (operator.negated and quantifier is None)
    verdicts = [operator.accepts(value, wanted) for value in values]
    return any(verdicts) if quantifier == "ForAnyValue" else all(verdicts)


def _parsed(name: str) -> tuple[str | None, str, bool]:
    found = _CONDITION.fullmatch(name)
    if found is None or (found[2] not in _OPERATORS and found[2] != "Null"):
        raise PolicyError(f"condition operator {name!r} is not covered")
    return found[1], found[2], found[3] is not None


def _check(policy: Any, required: tuple[str, ...]) -> None:
    if not isinstance(policy, Mapping) or not isinstance(policy.get("Statement"), (Mapping, list, tuple)):
        raise PolicyError("a policy is an object with a Statement")
    if "${" in str(policy):
        raise PolicyError("policy variables are not covered")
    for statement in _statements(policy):
        _check_statement(statement, required)


def _check_statement(statement: Any, required: tuple[str, ...]) -> None:
    if not isinstance(statement, Mapping):
        raise PolicyError(f"a statement is an object, not {statement!r}")
    if stray := set(statement) - {*required, "Sid", "Condition"}:
        raise PolicyError(f"statement element {', '.join(sorted(map(str, stray)))} is not covered here")
    if missing := [name for name in required if name not in statement]:
        raise PolicyError(f"statement has no {', '.join(missing)}")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise PolicyError(f"Effect is Allow or Deny, not {statement['Effect']!r}")
    for name in {"Action", "Resource"}.intersection(required):
        _check_texts(name, statement[name])
    _check_condition(statement.get("Condition", {}))


def _check_condition(condition: Any) -> None:
    if not isinstance(condition, Mapping) or not all(isinstance(block, Mapping) for block in condition.values()):
        raise PolicyError("Condition is a map of operators to maps of keys to values")
    for name, block in condition.items():
        _parsed(name)
        for key, wanted in block.items():
            _check_texts(f"condition key {key}", wanted)


def _check_texts(name: str, value: Any) -> None:
    if not isinstance(value, str) and not (
        isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
    ):
        raise PolicyError(f"{name} is a string or a list of strings, not {value!r}")
