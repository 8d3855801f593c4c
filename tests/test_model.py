"""The nouns: what they hold, when they are equal, and what they never print."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import Identity, Role, Secret
from tests.builders import ROLE_A, ROLE_B, chain, credentials, hop, session, token, token_text

NAMES = st.from_regex(r"[A-Za-z0-9_+=,.@-]{1,64}", fullmatch=True)
PATHS = st.from_regex(r"([!-.0-~]{1,20}/){0,3}", fullmatch=True)
ACCOUNTS = st.from_regex(r"[0-9]{12}", fullmatch=True)
PARTITIONS = st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"])


@given(st.text())
def test_d16_a_secret_never_prints(value: str) -> None:
    secret = Secret(value)
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!s}"} == {"Secret(…)"}
    assert secret.reveal() == value


def test_d16_no_value_that_holds_a_secret_prints_it() -> None:
    text = token_text()
    shown = repr([session(), credentials(), token()])
    secrets = [text, *(part for part in text.split(".")[1:])]
    secrets += [credentials().secret_access_key.reveal(), credentials().session_token.reveal()]
    assert not [secret for secret in secrets if secret in shown]


def test_d16_a_hop_prints_neither_external_id_nor_tags_nor_policies() -> None:
    private: dict[str, Any] = {
        "external_id": "private-1",
        "source_identity": "private-2",
        "tags": (("private-3", "private-4"),),
        "transitive_tags": ("private-5",),
        "policy": "private-6",
        "policy_arns": ("private-7",),
    }
    assert "private" not in repr(hop(**private))


def test_a_secret_is_not_pickled_or_copied_by_accident() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("s"))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Secret("s"))


@given(st.text(), st.text())
def test_secrets_are_equal_as_their_values_are(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) is (one == other)
    assert hash(Secret(one)) == hash(Secret(one))


def test_a_secret_equals_no_plain_string() -> None:
    assert Secret("s") != "s"


@given(partition=PARTITIONS, account=ACCOUNTS, path=PATHS, name=NAMES)
def test_a_role_is_read_and_written_alike(partition: str, account: str, path: str, name: str) -> None:
    arn = f"arn:{partition}:iam::{account}:role/{path}{name}"
    parsed = Role.parse(arn)
    assert (parsed.partition, parsed.account, parsed.path, parsed.name) == (partition, account, path, name)
    assert parsed.arn == arn


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "account-a-role",
        "arn:aws:iam::111122223333:user/somebody",
        "arn:aws:iam::11112222333:role/too-short-an-account",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/path/",
        "arn:aws:iam:eu-west-1:111122223333:role/r",
        "arn:AWS:iam::111122223333:role/r",
        "arn:aws:sts::111122223333:assumed-role/r/s",
        f"{ROLE_A}\n",
        f" {ROLE_A}",
        "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/r",
        f"arn:aws:iam::111122223333:role/{'n' * 65}",
    ],
)
def test_what_is_not_a_role_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of an IAM role"):
        Role.parse(arn)


@given(partition=PARTITIONS, account=ACCOUNTS, path=PATHS, name=NAMES, named=NAMES)
def test_an_identity_is_of_its_role_whatever_the_path(
    partition: str, account: str, path: str, name: str, named: str
) -> None:
    arn = f"arn:{partition}:sts::{account}:assumed-role/{name}/{named}"
    identity = Identity.parse(arn)
    assert identity.arn == arn
    assert identity.is_of(Role(partition, account, path, name))


@pytest.mark.parametrize(
    "other",
    [
        ROLE_B.replace("aws", "aws-cn"),
        ROLE_B.replace("444455556666", "444455556667"),
        f"{ROLE_B}x",
        ROLE_B.replace("account-b", "Account-b"),
    ],
)
def test_an_identity_is_not_of_a_role_that_differs_in_partition_account_or_name(other: str) -> None:
    assert session().identity.is_of(Role.parse(ROLE_B))
    assert not session().identity.is_of(Role.parse(other))


@pytest.mark.parametrize("arn", ["", ROLE_A, "arn:aws:sts::111122223333:assumed-role/r", "x\n"])
def test_what_is_no_assumed_role_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of an assumed role"):
        Identity.parse(arn)


def test_a_chain_is_its_hops_in_the_order_of_the_walk() -> None:
    last = chain(3)
    assert [each.position for each in last.chain] == [1, 2, 3]
    assert last.chain[-1] == last
    assert last.chain[0].source is None


@pytest.mark.parametrize(
    "change",
    [
        {"session_name": "another"},
        {"external_id": "e"},
        {"duration": 900},
        {"source_identity": "who"},
        {"tags": (("k", "v"),)},
        {"transitive_tags": ("k",)},
        {"policy": "{}"},
        {"policy_arns": ("arn:aws:iam::aws:policy/ReadOnlyAccess",)},
        {"regions": ("us-east-1",)},
        {"source": hop(duration=900)},
    ],
)
def test_d9_hops_are_equal_only_if_all_that_shapes_their_session_is(change: dict[str, Any]) -> None:
    assert chain(2) == chain(2)
    assert hash(chain(2)) == hash(chain(2))
    assert chain(2) != hop(**{"arn": ROLE_B, "source": hop(), **change})
