"""Every failure has a sentence of ours, and never one of AWS's."""

from __future__ import annotations

import pytest

from sidecar.errors import TokenTrouble
from sidecar.remedies import known, page, remedy

# What a hop can fail with, once classified: either hop, the one that spends the token, and a later one.
EITHER = [
    "AccessDenied", "ValidationError", "MalformedPolicyDocument", "PackedPolicyTooLarge", "RegionDisabledException",
    "ShortSession", "WrongIdentity", "Throttling", "Timeout", "ConnectionError", "BadAnswer", "ExpiredTokenException",
]  # fmt: skip
FIRST = ["InvalidIdentityToken", "IDPRejectedClaim", "IDPCommunicationError"]
FIRST += [f"Token{trouble.value.capitalize()}" for trouble in TokenTrouble]
LATER = ["SignatureDoesNotMatch", "ExpiredToken", "InvalidClientTokenId"]


@pytest.mark.parametrize(("position", "codes"), [(1, EITHER + FIRST), (2, EITHER + LATER), (3, EITHER + LATER)])
def test_every_known_code_has_words_of_its_own(position: int, codes: list[str]) -> None:
    assert set(known(position)) == set(codes)
    unknown = remedy("a code that nobody knows", position)
    assert [code for code in codes if remedy(code, position) == unknown] == ["Throttling"]


def test_access_denied_names_the_token_on_the_first_hop_and_the_source_on_later_ones() -> None:
    assert "the token's audience and subject" in remedy("AccessDenied", 1)
    assert remedy("AccessDenied", 2) == remedy("AccessDenied", 3)
    assert "sts:AssumeRole" in remedy("AccessDenied", 2)


def test_an_expired_token_is_the_projected_one_on_the_first_hop_and_the_session_token_on_later_ones() -> None:
    assert "kubelet" in remedy("ExpiredTokenException", 1)
    assert remedy("ExpiredTokenException", 2) == remedy("ExpiredToken", 2)


def test_an_unknown_code_is_said_to_be_asked_again() -> None:
    assert remedy("InternalFailure", 1) == "STS could not answer; it is asked again"


@pytest.mark.parametrize(
    ("code", "position", "anchor"),
    [
        ("AccessDenied", 1, "accessdenied-on-hop-1"),
        ("AccessDenied", 3, "accessdenied-on-hop-2"),
        ("Timeout", 2, "timeout"),
        ("TokenMissing", 1, "tokenmissing"),
        ("SignatureDoesNotMatch", 2, "signaturedoesnotmatch"),
        ("SignatureDoesNotMatch", 1, "any-other-code"),
        ("InternalFailure", 1, "any-other-code"),
    ],
)
def test_a_code_has_its_section_and_one_for_each_of_its_meanings(code: str, position: int, anchor: str) -> None:
    assert page(code, position) == f"docs/runbook.md#{anchor}"
