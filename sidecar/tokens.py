"""What a projected service-account token says of itself: decoded, never verified. Verifying is STS's work."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jwt

from sidecar.errors import TokenError, TokenTrouble
from sidecar.model import Claims, Secret, Token

# AssumeRoleWithWebIdentity takes 4 to 20,000 characters (STS API model).
LONGEST = 20_000
# Role session names are 2 to 64 of these (STS API model); everything else becomes a hyphen.
_ILLEGAL = re.compile(r"[^\w+=,.@-]", re.ASCII)
LONGEST_NAME = 64
# The first second of the year 10000: an instant from there on has no date that could be shown.
_END_OF_DATES = 253_402_300_800
# Enough of a hash that two clipped names of one cluster do not meet, short enough to leave the name readable.
_HASHED = 8


def decode(text: str, path: str) -> Token:
    """The token that the file at `path` holds as `text`.

    Raises:
        TokenError: malformed: empty, too long, not a JWT, or without a usable `iss`, `sub` or `exp`.
    """
    text = text.strip()
    if not text:
        raise TokenError(TokenTrouble.MALFORMED, path, "the file is empty")
    if len(text) > LONGEST:
        raise TokenError(TokenTrouble.MALFORMED, path, f"{len(text)} characters; STS takes at most {LONGEST}")
    claims = _claims(text, path)
    audience, expiration = _audience(claims.get("aud")), float(claims["exp"])
    return Token(Secret(text), Claims(claims["iss"], claims["sub"], audience, expiration, session_name(claims)))


def session_name(claims: Mapping[str, Any]) -> str:
    """A stable role session name: `<namespace>.<pod>`, else `<namespace>.<serviceaccount>`, else the subject.

    Never a timestamp: some protocols end a connection when the session name changes.
    """
    kubernetes = _mapping(claims.get("kubernetes.io"))
    namespace = kubernetes.get("namespace")
    who = _mapping(kubernetes.get("pod")).get("name") or _mapping(kubernetes.get("serviceaccount")).get("name")
    name = f"{namespace}.{who}" if namespace and who else str(claims["sub"])
    return _legal(name)


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("-", name)
    if 2 <= len(legal) <= LONGEST_NAME:
        return legal
    digest = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:_HASHED]
    return f"{legal[: LONGEST_NAME - _HASHED - 1]}-{digest}"


def _audience(value: object) -> tuple[str, ...]:
    """What the token is meant for: one string or a list of them (RFC 7519, 4.1.3); nothing else says anything."""
    said = value if isinstance(value, list) else [value]
    return tuple(each for each in said if isinstance(each, str))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _claims(text: str, path: str) -> Mapping[str, Any]:
    try:
        claims = jwt.decode(text, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        detail = f"not a JSON Web Token ({type(error).__name__}); is it the projected service-account token?"
        raise TokenError(TokenTrouble.MALFORMED, path, detail) from None
    if unusable := [name for name, usable in _NEEDED.items() if not usable(claims.get(name))]:
        detail = f"a JSON Web Token without a usable {', '.join(unusable)} claim"
        raise TokenError(TokenTrouble.MALFORMED, path, detail)
    return claims


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_instant(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _END_OF_DATES


_NEEDED = {"iss": _is_text, "sub": _is_text, "exp": _is_instant}
