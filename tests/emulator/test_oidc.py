"""The OIDC provider by values: keys, and claims of every wrong shape."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from sidecar.emulator import Issuer, OidcProvider
from sidecar.emulator.oidc import process_key, read_claims
from sidecar.emulator.refusals import Refusal

ISSUER = Issuer(url="https://issuer.example")
PROVIDER = OidcProvider(issuer=ISSUER.url, audiences=("one", "two"))
CLAIMS = {"iss": ISSUER.url, "sub": "s", "aud": ["one"], "iat": 1000, "nbf": 1000, "exp": 2000}


def test_one_key_serves_the_whole_process() -> None:
    assert ISSUER.key is process_key() is Issuer(url="https://other.example").key
    assert ISSUER.key.key_size == 2048


def test_the_key_set_has_the_public_key_alone() -> None:
    (key,) = ISSUER.key_set()["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    assert jwt.PyJWK(key).key.public_numbers() == ISSUER.key.public_key().public_numbers()
    other = Issuer(url=ISSUER.url, key=generate_private_key(public_exponent=65537, key_size=2048))
    assert other.key_id != key["kid"] == ISSUER.key_id


@pytest.mark.parametrize("now", [1000.0, 1999.9])
@pytest.mark.parametrize("audience", ["two", ["one"], ["else", "two"]], ids=str)
def test_a_token_is_valid_from_nbf_until_before_exp(now: float, audience: Any) -> None:
    claims = {**CLAIMS, "aud": audience}
    assert ISSUER.verify(ISSUER.sign(claims), PROVIDER, now) == claims


@pytest.mark.parametrize(("now", "code"), [(999.9, "InvalidIdentityToken"), (2000.0, "ExpiredTokenException")])
def test_a_token_is_not_valid_before_or_after(now: float, code: str) -> None:
    with pytest.raises(Refusal) as no:
        ISSUER.verify(ISSUER.sign(CLAIMS), PROVIDER, now)
    assert no.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": []},
        {"aud": [{}]},
        {"aud": 1},
        {"nbf": "soon"},
        {"exp": "late"},
        {"sub": None},
        {"iss": 1},
        {"iat": None},
    ],
    ids=str,
)
def test_claims_of_a_wrong_shape_are_refused(wrong: dict[str, Any]) -> None:
    token = ISSUER.sign({**CLAIMS, **wrong}) if "iss" not in wrong else _unsigned({**CLAIMS, **wrong})
    with pytest.raises(Refusal) as no:
        ISSUER.verify(_checked(token), PROVIDER, 1500.0)
    assert no.value.code == "InvalidIdentityToken"


@pytest.mark.parametrize("payload", [b"[]", b"\xff", b"[" * 9000, b"1"], ids=["list", "bytes", "deep", "number"])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(Refusal) as no:
        read_claims(_token(payload))
    assert no.value.code == "InvalidIdentityToken"


def _checked(token: str) -> str:
    read_claims(token)
    return token


def _unsigned(claims: dict[str, Any]) -> str:
    return _token(str(claims).replace("'", '"').encode())


def _token(payload: bytes) -> str:
    parts = (b'{"alg":"RS256","kid":"k"}', payload, b"signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
