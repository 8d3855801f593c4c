"""The policy evaluator by values: what each element means, and that nothing unknown is ignored."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.emulator.policy import (
    Caller,
    PolicyError,
    Request,
    Verdict,
    check_identity,
    check_trust,
    judge_identity,
    judge_trust,
)
from sidecar.emulator.world import allow

ROLE = "arn:aws:iam::444455556666:role/account-b-role"
CALLER = Caller(
    exact=frozenset({"arn:aws:iam::111122223333:role/a", "arn:aws:sts::111122223333:assumed-role/a/s"}),
    account=frozenset({"arn:aws:iam::111122223333:root", "111122223333"}),
)


def request(action: str = "sts:AssumeRole", resource: str = ROLE, **context: str | tuple[str, ...]) -> Request:
    held = {key.replace("__", ":").lower(): (one,) if isinstance(one, str) else one for key, one in context.items()}
    return Request(action=action, resource=resource, caller=CALLER, context=held)


def deny(action: str = "*") -> Any:
    return {"Statement": {"Effect": "Deny", "Action": action, "Resource": "*"}}


def test_no_policy_says_nothing() -> None:
    assert judge_identity([], request()) is Verdict.SILENT


@pytest.mark.parametrize("action", ["sts:AssumeRole", "STS:ASSUMEROLE", "sts:*", "*", "sts:Assume????"])
@pytest.mark.parametrize("resource", [ROLE, "*", "arn:aws:iam::*:role/account-?-role"])
def test_actions_and_resources_have_wildcards_and_only_actions_ignore_case(action: str, resource: str) -> None:
    policy = allow(action, Resource=resource)
    assert judge_identity([policy], request()) is Verdict.ALLOWED
    assert judge_identity([policy], request(action="s3:GetObject")) is (
        Verdict.ALLOWED if action == "*" else Verdict.SILENT
    )
    assert judge_identity([policy], request(resource=ROLE.upper())) is (
        Verdict.ALLOWED if resource == "*" else Verdict.SILENT
    )


PRINCIPALS: list[tuple[Any, Verdict]] = [
    ("*", Verdict.ALLOWED),
    ({"AWS": "*"}, Verdict.ALLOWED),
    ({"AWS": "arn:aws:iam::111122223333:role/a"}, Verdict.ALLOWED),
    ({"AWS": ["arn:aws:iam::1:role/x", "arn:aws:sts::111122223333:assumed-role/a/s"]}, Verdict.ALLOWED),
    ({"AWS": "111122223333"}, Verdict.DELEGATED),
    ({"AWS": "arn:aws:iam::111122223333:root"}, Verdict.DELEGATED),
    ({"AWS": "arn:aws:iam::111122223333:role/*"}, Verdict.SILENT),  # AWS: no wildcards within a principal
    ({"Federated": "arn:aws:iam::111122223333:role/a"}, Verdict.SILENT),
    ({"Service": "ec2.amazonaws.com"}, Verdict.SILENT),
]


@pytest.mark.parametrize(("principal", "verdict"), PRINCIPALS, ids=[str(one) for one, _ in PRINCIPALS])
def test_a_trust_policy_grades_its_principals(principal: Any, verdict: Verdict) -> None:
    trust = allow("sts:AssumeRole", Principal=principal)
    check_trust(trust)
    assert judge_trust(trust, request()) is verdict


CONDITIONS: list[tuple[str, str | list[str], str | tuple[str, ...] | None, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "a", None, False),
    ("StringEquals", "*", "a", False),
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", ["b", "a"], "a", False),
    ("StringNotEquals", "a", None, True),
    ("StringEqualsIgnoreCase", "a", "A", True),
    ("StringNotEqualsIgnoreCase", "a", "A", False),
    ("StringLike", "system:serviceaccount:shop:*", "system:serviceaccount:shop:orders", True),
    ("StringLike", "system:serviceaccount:shop:*", "system:serviceaccount:pay:orders", False),
    ("StringLike", "a[bc]", "ab", False),
    ("StringLike", "a?", "ab", True),
    ("StringNotLike", "a*", "ab", False),
    ("ArnLike", "arn:aws:iam::*:role/a*", "arn:aws:iam::111122223333:role/abc", True),
    ("ArnLike", "arn:aws:*:role/a", "arn:aws:iam::111122223333:role/a", False),
    ("ArnEquals", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/x", True),
    ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/x", False),
    ("Bool", "true", "True", True),
    ("Null", "true", None, True),
    ("Null", "true", "a", False),
    ("Null", "false", "a", True),
    ("ForAnyValue:StringEquals", "a", ("a", "b"), True),
    ("ForAnyValue:StringEquals", "c", ("a", "b"), False),
    ("ForAnyValue:StringEquals", "c", None, False),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), True),
    ("ForAllValues:StringEquals", "a", ("a", "b"), False),
    ("ForAllValues:StringLike", "a", None, True),
]


@pytest.mark.parametrize("case", CONDITIONS, ids=[f"{n}-{case[0]}" for n, case in enumerate(CONDITIONS)])
def test_a_condition_means_what_iam_says(case: tuple[str, str | list[str], str | tuple[str, ...] | None, bool]) -> None:
    operator, wanted, given_value, holds = case
    policy = allow("*", Resource="*", Condition={operator: {"STS:ExternalId": wanted}})
    check_identity(policy)
    asked = request() if given_value is None else request(sts__ExternalId=given_value)
    assert (judge_identity([policy], asked) is Verdict.ALLOWED) is holds


def test_every_key_and_every_operator_must_hold() -> None:
    condition = {"StringEquals": {"sts:ExternalId": "x", "sts:RoleSessionName": "s"}, "Null": {"aws:TagKeys": "true"}}
    policy = allow("*", Resource="*", Condition=condition)
    assert judge_identity([policy], request(sts__externalid="x", sts__rolesessionname="s")) is Verdict.ALLOWED
    assert judge_identity([policy], request(sts__externalid="x")) is Verdict.SILENT
    both = request(sts__externalid="x", sts__rolesessionname="s", aws__tagkeys=("team",))
    assert judge_identity([policy], both) is Verdict.SILENT


@given(st.permutations([allow("*", Resource="*"), allow("sts:*", Resource=ROLE), deny("sts:Assume*")]))
def test_an_explicit_deny_wins_wherever_it_stands(policies: list[Any]) -> None:
    assert judge_identity(policies, request()) is Verdict.DENIED
    assert judge_identity(policies, request(action="s3:GetObject")) is Verdict.ALLOWED


@given(st.text("ab:/*?.+", max_size=8), st.text("ab:/.+", max_size=8))
def test_wildcards_agree_with_the_shells(pattern: str, text: str) -> None:
    verdict = judge_identity([allow("*", Resource=pattern)], request(resource=text))
    assert (verdict is Verdict.ALLOWED) is fnmatchcase(text, pattern)


UNKNOWN: list[Any] = [
    {},
    {"Statement": "Allow"},
    {"Statement": [[]]},
    {"Statement": [{"Effect": "Allow", "Action": "*"}]},
    {"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]},
    {"Statement": [{"Effect": "Allow", "NotAction": "*", "Resource": "*"}]},
    {"Statement": [{"Effect": "Allow", "Action": 1, "Resource": "*"}]},
    allow("*", NotResource="*"),
    allow("*", Resource="*", Principal="*"),
    allow("*", Resource="arn:aws:s3:::${aws:PrincipalTag/team}"),
    allow("*", Resource="*", Condition={"NumericEquals": {"a": "1"}}),
    allow("*", Resource="*", Condition={"ForSomeValues:StringEquals": {"a": "1"}}),
    allow("*", Resource="*", Condition={"StringEquals": "a"}),
    allow("*", Resource="*", Condition={"StringEquals": {"a": 1}}),
]


@pytest.mark.parametrize("policy", UNKNOWN, ids=range(len(UNKNOWN)))
def test_what_is_not_covered_is_an_error_and_never_ignored(policy: Any) -> None:
    with pytest.raises(PolicyError):
        check_identity(policy)


@pytest.mark.parametrize("principal", ["arn:aws:iam::1:root", {"Nobody": "*"}, {"AWS": 1}, ["*"]], ids=str)
def test_a_principal_of_another_shape_is_an_error(principal: Any) -> None:
    with pytest.raises(PolicyError):
        check_trust(allow("sts:AssumeRole", Principal=principal))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["Allow", "*", "sts:AssumeRole", "StringEquals"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["Statement", "Effect", "Action", "Resource", "Condition", "StringEquals"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_either_refused_or_judged(policy: Any) -> None:
    wrapped = {"Statement": {"Effect": "Allow", "Action": policy, "Resource": policy, "Condition": policy}}
    for document in (policy, {"Statement": policy}, wrapped):
        try:
            check_identity(document)
        except PolicyError:
            continue
        assert judge_identity([document], request()) in Verdict
