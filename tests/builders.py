"""Builders over literals: a test names what it is about, and the rest is a good default.

The accounts and roles are those of the guide: A (111122223333) trusts the cluster, B (444455556666) owns the data.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt

from sidecar.ledger import Held, Ledger
from sidecar.model import Credentials, Failure, Hop, Identity, Kind, Role, Secret, Session, Target, Token
from sidecar.schedule import Schedule
from sidecar.tokens import decode

ACCOUNT_A, ACCOUNT_B = "111122223333", "444455556666"
ROLE_A = f"arn:aws:iam::{ACCOUNT_A}:role/account-a-role"
ROLE_B = f"arn:aws:iam::{ACCOUNT_B}:role/account-b-role"
TOKEN_FILE = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
AUDIENCE = "sts.amazonaws.com"
SUBJECT = "system:serviceaccount:payments:ledger"
REGION = "eu-west-1"
HOUR = 3600
# An instant well after every test's first: Unix seconds of 2033-05-18, whole, so that texts are easy to read.
EXPIRATION = 2_000_000_000.0
# HS256 wants a key as long as its hash; nothing here verifies it.
_KEY = "a key that nobody verifies, of more than 32 bytes"


def role(arn: str = ROLE_B) -> Role:
    """The role that `arn` names: account B's."""
    return Role.parse(arn)


def hop(arn: str = ROLE_A, **changes: Any) -> Hop:
    """A first hop into account A's role for one hour; with `source` a later one, which has no token file."""
    first = {} if changes.get("source") else {"token_file": TOKEN_FILE}
    return Hop(**{"role": Role.parse(arn), "duration": HOUR, "regions": (REGION,), **first, **changes})


def chain(length: int = 2, *, branch: str = "", **changes: Any) -> Hop:
    """The last of `length` hops. Chains share all but their last hop, whose role ends in `branch`.

    `changes` shape the last hop.
    """
    prefix: Hop | None = None
    for position in range(1, length):
        prefix = hop(ROLE_A if position == 1 else f"{ROLE_B}-{position}", source=prefix)
    last = ROLE_A if length == 1 else ROLE_B
    return hop(f"{last}{branch}", source=prefix, **changes)


def target(name: str = "default", last: Hop | None = None) -> Target:
    """A target: the two-hop chain of the guide if `last` is not given."""
    return Target(name=name, hop=last or chain())


def targets(count: int, length: int = 2) -> tuple[Target, ...]:
    """`count` targets whose chains of `length` hops share all but the last hop (a chain of one hop shares nothing)."""
    return tuple(target(f"t{n}", chain(length, branch=f"-{n}")) for n in range(count))


def credentials(serial: int = 1, expiration: float = EXPIRATION) -> Credentials:
    """Credentials that tell by `serial` which they are; `expiration` is Unix seconds."""
    return Credentials(
        access_key_id=f"ASIAEXAMPLE{serial:09d}",
        secret_access_key=Secret(f"secret/access+key/{serial:022d}"),
        session_token=Secret(f"session-token-{serial}=="),
        expiration=datetime.fromtimestamp(expiration, UTC),
    )


def session(of: Hop | None = None, serial: int = 1, expiration: float = EXPIRATION) -> Session:
    """A session of `of`'s role, named as hop and token would."""
    hop_ = of or chain()
    name = hop_.session_name or "payments.ledger-0"
    role = hop_.role
    identity = Identity.parse(f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/{name}")
    return Session(credentials=credentials(serial, expiration), identity=identity)


def failure(kind: Kind = Kind.UNAVAILABLE, code: str = "") -> Failure:
    """A failure of `kind`, with a code that STS (or we) would give it."""
    codes = {
        Kind.DENIED: "AccessDenied",
        Kind.UNAVAILABLE: "ServiceUnavailable",
        Kind.SOURCE_GONE: "ExpiredToken",
        Kind.TOKEN: "TokenMissing",
    }
    return Failure(kind=kind, code=code or codes[kind])


def held(*walked: Hop, now: float = 0.0, lifetime: float = HOUR, chance: float = 0.0) -> Ledger:
    """A ledger in which every hop of `walked` succeeded at `now`."""
    ledger = Ledger()
    for serial, each in enumerate(walked, start=1):
        got = session(each, serial)
        ledger = ledger.succeeded(each, got, lifetime=lifetime, now=now, chance=chance)
    return ledger


def entry(schedule: Schedule | None = None, of: Hop | None = None, serial: int = 1) -> Held:
    """What a ledger holds of one hop: an hour-old-at-most session unless `schedule` says otherwise."""
    fresh = Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0)
    return Held(schedule=schedule or fresh, session=session(of, serial))


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a service account's token in a pod; a claim changed to None is left out."""
    kubernetes = {
        "namespace": "payments",
        "pod": {"name": "ledger-0", "uid": "8c8f0c4a-0000-4000-8000-000000000001"},
        "serviceaccount": {"name": "ledger", "uid": "8c8f0c4a-0000-4000-8000-000000000002"},
    }
    said = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": [AUDIENCE],
        "exp": int(EXPIRATION),
        "iat": int(EXPIRATION) - 86_400,
        "kubernetes.io": kubernetes,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def token_text(*, algorithm: str = "HS256", **changes: Any) -> str:
    """A projected token as kubelet writes it, but for its signature; `algorithm` is `HS256` or `none`."""
    return jwt.encode(claims(**changes), _KEY if algorithm != "none" else "", algorithm=algorithm)


def token(**changes: Any) -> Token:
    """The token that `token_text` holds, decoded."""
    return decode(token_text(**changes), TOKEN_FILE)


def write_token(path: Path, **changes: Any) -> str:
    """Writes a token to `path` and returns its text."""
    text = token_text(**changes)
    path.write_text(text)
    return text
