"""The OIDC provider: its signing key, its discovery document and key set, and the verifying of what it signed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.emulator.refusals import Refusal
from sidecar.emulator.world import OidcProvider

ALGORITHM: Final = "RS256"  # what kube-apiserver signs service-account tokens with
KEY_BITS: Final = 2048  # what EKS clusters publish
_NOT_A_JWT: Final = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"


@cache
def process_key() -> RSAPrivateKey:
    """One RSA key for the whole process: making one takes longer than a hundred calls."""
    return generate_private_key(public_exponent=65537, key_size=KEY_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An OIDC issuer: its URL, without a trailing slash, and the key that signs its tokens."""

    url: str
    key: RSAPrivateKey = field(default_factory=process_key, repr=False)

    @property
    def key_id(self) -> str:
        """The key's name in header and key set: the digest of the public key, as kube-apiserver names its keys."""
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _base64url(hashlib.sha256(public).digest())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT with these claims, signed."""
        return jwt.encode(dict(claims), self.key, algorithm=ALGORITHM, headers={"kid": self.key_id})

    def discovery(self) -> dict[str, Any]:
        """The document at `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 3)."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "claims_supported": ["sub", "iss"],
        }

    def key_set(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self.key_id}
        return {"keys": [{**key, "n": _integer(numbers.n), "e": _integer(numbers.e)}]}

    def verify(self, token: str, provider: OidcProvider, now: float) -> dict[str, Any]:
        """The claims of `token`, which must be signed by this issuer for an audience of `provider` and valid at
        `now`.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("kid") != self.key_id:
                raise Refusal(
                    "InvalidIdentityToken", "No key of the identity provider has this ID Token's kid"
                )  # (ours)
            claims: dict[str, Any] = jwt.decode(
                token, self.key.public_key(), algorithms=[ALGORITHM], options=_SIGNATURE_ONLY
            )
        except jwt.InvalidTokenError:
            raise Refusal("InvalidIdentityToken", "The ID Token's signature is not valid") from None  # (ours)
        _check_times(claims, now)
        audience = claims["aud"]
        if not set([audience] if isinstance(audience, str) else audience) & set(provider.audiences):
            raise Refusal("InvalidIdentityToken", "Incorrect token audience")
        return claims


# The times are judged below, by the emulator's clock and in AWS's words; the audience is the provider's to name.
_SIGNATURE_ONLY: Final[Any] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def read_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; a Refusal where it is none or where `iss`, `sub`, `aud` or `exp` is missing."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError):
        raise Refusal("InvalidIdentityToken", _NOT_A_JWT) from None
    for name, kind in _REQUIRED_CLAIMS.items():
        if not isinstance(claims.get(name), kind):
            raise Refusal("InvalidIdentityToken", f"Missing a required claim: {name}")
    audience = claims["aud"]
    if not all(isinstance(one, str) for one in audience) or not isinstance(claims.get("nbf", 0), _NUMBER):
        raise Refusal("InvalidIdentityToken", _NOT_A_JWT)
    return claims


_NUMBER: Final = (int, float)
_REQUIRED_CLAIMS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "iss": str,
    "sub": str,
    "aud": (str, list),
    "exp": _NUMBER,
    "iat": _NUMBER,
}


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if now >= claims["exp"]:
        times = f"current date/time {now:.0f} must be before the expiration date/time{claims['exp']:.0f}"
        raise Refusal("ExpiredTokenException", f"Token expired: {times}")
    if now < max(claims.get("nbf", 0), claims["iat"]):
        raise Refusal("InvalidIdentityToken", "The ID Token is not yet valid")  # (ours)


def _integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
