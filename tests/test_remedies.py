"""Every failure has a sentence of ours, and never one of AWS's."""

from __future__ import annotations

import pytest

from sidecar.errors import TokenTrouble
from sidecar.remedies import remedy

# DESIGN's table of codes and ours: what a hop can fail with, once classified.
CODES = [
    "AccessDenied", "InvalidIdentityToken", "IDPRejectedClaim", "IDPCommunicationError", "ValidationError",
    "MalformedPolicyDocument", "PackedPolicyTooLarge", "RegionDisabledException", "SignatureDoesNotMatch",
    "ShortSession", "WrongIdentity", "Timeout", "ConnectionError", "BadAnswer", "ExpiredTokenException",
    "ExpiredToken", "InvalidClientTokenId", *(f"Token{trouble.value.capitalize()}" for trouble in TokenTrouble),
]  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_every_known_code_has_words_of_its_own(code: str) -> None:
    assert remedy(code, 1) != remedy("a code that nobody knows", 1)


def test_access_denied_names_the_token_on_the_first_hop_and_the_source_on_later_ones() -> None:
    assert "the token's audience and subject" in remedy("AccessDenied", 1)
    assert remedy("AccessDenied", 2) == remedy("AccessDenied", 3)
    assert "sts:AssumeRole" in remedy("AccessDenied", 2)


def test_an_expired_token_is_the_projected_one_on_the_first_hop_and_the_session_token_on_later_ones() -> None:
    assert "kubelet" in remedy("ExpiredTokenException", 1)
    assert remedy("ExpiredTokenException", 2) == remedy("ExpiredToken", 2)


def test_an_unknown_code_is_said_to_be_asked_again() -> None:
    assert remedy("InternalFailure", 1) == "STS could not answer; it is asked again"
