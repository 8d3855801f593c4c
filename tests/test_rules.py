"""The rules of STS: what a value may be, and what a hop may ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import rules
from sidecar.model import Role
from sidecar.rules import Illegal, breaches
from tests.builders import ROLE_A, ROLE_B, hop

PARTITIONS = st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"])
NAMES = st.from_regex(r"[A-Za-z0-9_+=,.@-]{1,64}", fullmatch=True)
PATHS = st.lists(st.from_regex(r"[!-.0-~]{1,10}", fullmatch=True), max_size=3).map(
    lambda parts: "".join(f"{part}/" for part in parts)
)
TAG_TEXT = st.text("abcXYZ019 _.:/+-@äß", max_size=20).map(str.strip)


def form(field: str) -> Callable[[str], object]:
    """What turns the text for that field of a hop into its value."""
    return rules.PARAMETERS[field][1]


@given(PARTITIONS, st.from_regex(r"[0-9]{12}", fullmatch=True), PATHS, NAMES)
def test_every_role_is_read_from_its_own_arn(partition: str, account: str, path: str, name: str) -> None:
    role = Role(partition, account, path, name)
    assert rules.role(role.arn) == role


@given(st.dictionaries(TAG_TEXT.filter(bool), TAG_TEXT, min_size=1, max_size=50))
def test_session_tags_are_read_as_they_were_written(tags: dict[str, str]) -> None:
    distinct = {key.lower(): (key, value) for key, value in tags.items()}.values()
    legal = [(key, value) for key, value in distinct if not key.lower().startswith("aws:")] or [("k", "v")]
    assert form("tags")(",".join(f"{key}={value}" for key, value in legal)) == tuple(legal)


def test_the_value_of_a_tag_may_hold_an_equals_sign() -> None:
    assert form("tags")("a=b=c, d =") == (("a", "b=c"), ("d", ""))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("account-a-role", "not the ARN of an IAM role"),
        ("arn:aws:iam::111122223333:user/alice", "its kind is user, and only a role can be assumed"),
        ("arn:aws:iam::111122223333:root", "its kind is root"),
        ("arn:aws:iam::111122223333:instance-profile/node", "its kind is instance-profile"),
        ("arn:aws:sts::111122223333:assumed-role/a/b", "its kind is assumed-role"),
        ("arn:amazon:iam::111122223333:role/a", "a partition of AWS"),
        ("arn:aws:iam::1111-2222-3333:role/a", "an account of 12 digits"),
        ("arn:aws:iam::111122223333:role/", "not the ARN of an IAM role"),
        ("arn:aws:iam::111122223333:role/ä", "not the ARN of an IAM role"),
        (f"{ROLE_A} ", "not the ARN of an IAM role"),
    ],
)
def test_what_is_no_role_is_called_by_what_it_is(text: str, words: str) -> None:
    with pytest.raises(Illegal) as caught:
        rules.role(text)
    assert words in caught.value.wrong
    assert "arn:aws:iam::111122223333:role/NAME" in caught.value.remedy


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (rules.duration, "1h", "not a whole number of seconds"),
        (rules.duration, "-900", "not a whole number of seconds"),
        (rules.duration, "٣٦٠٠", "not a whole number of seconds"),
        (rules.duration, "899", "900 to 43200"),
        (rules.duration, "43201", "900 to 43200"),
        (rules.session_name, "a", "not a legal role session name"),
        (rules.session_name, "system:serviceaccount:payments:ledger", "not a legal role session name"),
        (rules.session_name, "x" * 65, "not a legal role session name"),
        (rules.external_id, "x", "not a legal external id"),
        (rules.external_id, "with space", "not a legal external id"),
        (rules.external_id, "x" * 1225, "not a legal external id"),
        (form("source_identity"), "aws:me", "not a legal source identity"),
        (form("source_identity"), "a/b", "not a legal source identity"),
        (form("tags"), "team", "'team' is not a session tag"),
        (form("tags"), "team=blue,", "'' is not a session tag"),
        (form("tags"), "team=blue,Team=red", "the session tag 'team' is given twice"),
        (form("tags"), "aws:team=blue", "'aws:team=blue' is not a session tag"),
        (form("tags"), "x" * 129 + "=1", "is not a session tag"),
        (form("tags"), "team=" + "x" * 257, "is not a session tag"),
        (form("tags"), "team=b;ue", "is not a session tag"),
        (form("tags"), ",".join(f"k{n}=v" for n in range(51)), "51 session tags, and STS takes 50"),
        (form("transitive_tags"), "a,A", "the tag key 'a' is given twice"),
        (form("policy"), "{", "not a policy document"),
        (form("policy"), '"ReadOnlyAccess"', "not a policy document"),
        (form("policy"), '{"Sid": "€"}', "not a policy document"),
        (form("policy"), '{"Version": "' + "x" * 2048 + '"}', "STS takes a session policy of 2048"),
        (form("policy_arns"), "ReadOnlyAccess", "'ReadOnlyAccess' is not the ARN of a managed policy"),
        (
            form("policy_arns"),
            ",".join(f"arn:aws:iam::aws:policy/P{n}" for n in range(11)),
            "11 policy ARNs, and STS takes 10",
        ),
        (rules.region, "Frankfurt", "not the name of an AWS region"),
        (rules.regions, "eu-west-1,eu-west-1", "the region 'eu-west-1' is given twice"),
    ],
)
def test_what_sts_would_refuse_is_refused_first(parse: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(Illegal, match=r".") as caught:
        parse(text)
    assert words in caught.value.wrong
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (rules.duration, "900"),
        (rules.duration, "43200"),
        (rules.session_name, "payments.ledger-0"),
        (rules.session_name, "x" * 64),
        (rules.external_id, "tenant:4711/a"),
        (rules.external_id, "x" * 1224),
        (form("source_identity"), "ledger@payments"),
        (form("tags"), ",".join(f"k{n}=v" for n in range(50))),
        (form("policy"), '{"Version": "2012-10-17", "Statement": []}'),
        (form("policy_arns"), "arn:aws-cn:iam::aws:policy/ReadOnlyAccess,arn:aws-cn:iam::111122223333:policy/p/q"),
        (rules.region, "us-gov-west-1"),
        (rules.region, "eusc-de-east-1"),
    ],
)
def test_what_sts_takes_is_taken(parse: Callable[[str], object], text: str) -> None:
    assert parse(text)


def broken(found: tuple[str, str, str]) -> tuple[str, str]:
    return found[:2]


def test_a_chained_hop_is_bound_to_one_hour_and_a_first_hop_is_not() -> None:
    first = hop(ROLE_A, duration=43_200)
    assert not [*breaches(first)]
    assert not [*breaches(hop(ROLE_B, source=first, duration=3_600))]
    ((field, wrong),) = map(broken, breaches(hop(ROLE_B, source=first, duration=3_601)))
    assert field == "duration"
    assert "hop 2" in wrong
    assert "3600" in wrong


@pytest.mark.parametrize(
    "changes", [{"external_id": "tenant"}, {"source_identity": "ledger"}, {"tags": (("team", "blue"),)}]
)
def test_a_hop_that_spends_the_token_carries_none_of_what_only_assume_role_takes(changes: dict[str, object]) -> None:
    ((field, wrong),) = map(broken, breaches(hop(ROLE_A, **changes)))
    assert [field] == [*changes]
    assert "AssumeRoleWithWebIdentity has no such parameter" in wrong
    assert not [*breaches(hop(ROLE_B, source=hop(ROLE_A), **changes))]


def test_a_chain_stays_in_one_partition() -> None:
    china = ROLE_B.replace("aws", "aws-cn")
    ((field, wrong),) = map(broken, breaches(hop(china, source=hop(ROLE_A))))
    assert field == "role"
    assert "across partitions" in wrong
    assert not [*breaches(hop(china, source=hop(ROLE_A.replace("aws", "aws-cn"))))]


def test_a_session_policy_is_of_the_roles_partition() -> None:
    ((field, wrong),) = map(broken, breaches(hop(ROLE_A, policy_arns=("arn:aws-cn:iam::aws:policy/P",))))
    assert field == "policy_arns"
    assert "not in the partition aws of the role" in wrong


def test_a_transitive_tag_is_one_of_the_session_tags() -> None:
    tagged = hop(ROLE_B, source=hop(ROLE_A), tags=(("Team", "blue"),), transitive_tags=("team", "stage"))
    ((field, wrong),) = map(broken, breaches(tagged))
    assert field == "transitive_tags"
    assert "'stage'" in wrong
