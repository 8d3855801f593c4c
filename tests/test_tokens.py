"""What a projected token says of itself, and every way in which it is none."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import TokenError, TokenTrouble
from sidecar.tokens import LONGEST, decode, session_name
from tests.builders import AUDIENCE, EXPIRATION, ISSUER, SUBJECT, claims, token_text

PATH = "/t/token"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=80),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=9), each, max_size=3),
    max_leaves=8,
)


def encoded(payload: bytes, header: bytes = b'{"alg":"RS256"}') -> str:
    parts = (header, payload, b"signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def malformed(text: str) -> str:
    with pytest.raises(TokenError) as caught:
        decode(text, PATH)
    assert (caught.value.reason, caught.value.path) == (TokenTrouble.MALFORMED, PATH)
    return caught.value.detail


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_token_tells_issuer_subject_audience_expiration_and_a_session_name(algorithm: str) -> None:
    text = token_text(algorithm=algorithm)
    token = decode(f" {text}\n", PATH)
    assert (token.claims.issuer, token.claims.subject, token.claims.audience) == (ISSUER, SUBJECT, (AUDIENCE,))
    assert (token.claims.expiration, token.claims.session_name) == (EXPIRATION, "payments.ledger-0")
    assert token.value.reveal() == text


@pytest.mark.parametrize(
    ("said", "audience"),
    [("one", ("one",)), (["one", "two"], ("one", "two")), (None, ()), ([5, "one"], ("one",)), (5, ()), ({}, ())],
)
def test_an_audience_is_one_string_or_a_list_of_them(said: object, audience: tuple[str, ...]) -> None:
    assert decode(encoded(_payload(aud=said)), PATH).claims.audience == audience


def _payload(**changes: Any) -> bytes:
    return json.dumps(claims(**changes)).encode()


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_file_holds_no_token(text: str) -> None:
    assert malformed(text) == "the file is empty"


def test_a_token_is_at_most_as_long_as_sts_takes() -> None:
    longest = token_text(padding="x" * 14_000)
    assert decode(longest, PATH).claims.subject == SUBJECT
    assert malformed("x" * (LONGEST + 1)) == f"{LONGEST + 1} characters; STS takes at most {LONGEST}"


@pytest.mark.parametrize(
    "text",
    ["no token", "a.b.c", token_text()[:40], token_text().split(".")[0], encoded(b"[]"), encoded(b"\xff"),
     encoded(b"[" * 14_000), encoded(b"{}", header=b"{}")[::-1]],
)  # fmt: skip
def test_what_is_not_a_json_web_token_says_so(text: str) -> None:
    assert "not a JSON Web Token (" in malformed(text)


@pytest.mark.parametrize("name", ["iss", "sub", "exp"])
@pytest.mark.parametrize("value", [None, True, "", "line\nbreak", [], {}, -1, float("nan"), 10**400])
def test_a_token_without_a_usable_claim_names_it(name: str, value: object) -> None:
    assert malformed(encoded(_payload(**{name: value}))) == f"a JSON Web Token without a usable {name} claim"


def test_a_token_that_says_nothing_is_told_all_that_it_lacks() -> None:
    assert malformed(encoded(b"{}")) == "a JSON Web Token without a usable iss, sub, exp claim"


def test_an_error_about_a_token_does_not_quote_it() -> None:
    text = token_text(sub=5)
    assert not [part for part in text.split(".") if part in malformed(text)]


@given(st.text(max_size=200))
def test_any_text_is_a_token_or_malformed(text: str) -> None:
    malformed(text)


@given(said=st.fixed_dictionaries({}, optional=dict.fromkeys(claims(), JSON)))
def test_any_claims_make_a_token_or_are_malformed(said: dict[str, Any]) -> None:
    text = encoded(json.dumps({**claims(), **said}).encode())
    try:
        token = decode(text, PATH)
    except TokenError:
        assert malformed(text)
    else:
        assert 0 <= token.claims.expiration < 253_402_300_800
        assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", token.claims.session_name)


def test_a_session_is_named_after_namespace_and_pod() -> None:
    assert session_name(claims()) == "payments.ledger-0"


def test_a_token_of_no_pod_is_named_after_the_service_account() -> None:
    kubernetes = {"namespace": "payments", "serviceaccount": {"name": "ledger"}}
    assert session_name(claims(**{"kubernetes.io": kubernetes})) == "payments.ledger"


@pytest.mark.parametrize(
    "kubernetes", [None, "text", {}, {"namespace": "n"}, {"pod": {"name": "p"}}, {"namespace": "n", "pod": 1}]
)
def test_a_token_of_another_issuer_is_named_after_its_subject(kubernetes: object) -> None:
    assert session_name(claims(**{"kubernetes.io": kubernetes})) == "system-serviceaccount-payments-ledger"


def test_a_long_name_is_clipped_to_sixty_four_with_a_hash_that_tells_it_apart() -> None:
    one, other = (session_name({"sub": "s" * 64 + end}) for end in "ab")
    assert len(one) == len(other) == 64
    assert one != other
    assert one.startswith("s" * 55 + "-")


def test_a_name_of_one_character_gets_a_hash() -> None:
    assert re.fullmatch(r"s-[0-9a-f]{8}", session_name({"sub": "s"}))


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_subject_makes_a_legal_stable_name(subject: str) -> None:
    name = session_name({"sub": subject})
    assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", name)
    assert name == session_name({"sub": subject})
