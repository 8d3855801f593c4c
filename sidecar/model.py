"""The nouns: roles, hops, targets, the token, credentials and sessions, and what the process gets from outside itself.

Values only; nothing here does anything.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

# `aws`, `aws-cn`, `aws-us-gov`, the isolated ones and the European sovereign one all follow this form.
_PARTITION = r"aws(?:-[a-z]+)*"
_ROLE = re.compile(rf"arn:({_PARTITION}):iam::(\d{{12}}):role/((?:[\x21-\x7e]+/)?)([\w+=,.@-]{{1,64}})", re.ASCII)
_ASSUMED = re.compile(rf"arn:({_PARTITION}):sts::(\d{{12}}):assumed-role/([\w+=,.@-]+)/([\w+=,.@-]+)", re.ASCII)


class Secret:
    """A string that does not print, does not pickle and compares in constant time; `reveal()` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for the wire and for files made for it, never for text that people read."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What enters in `cli` and nowhere else: `clock` in seconds that suspend counts and clock steps do not, `wall` in
    Unix seconds, `chance` in [0, 1), a random authorization token, and the name of the node's boot."""

    clock: Callable[[], float]
    wall: Callable[[], float]
    chance: Callable[[], float]
    random_token: Callable[[], str]
    boot: str


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role; `name` is the last segment, `path` what stands before it (with its slashes, or empty)."""

    partition: str
    account: str
    path: str
    name: str

    @classmethod
    def parse(cls, arn: str) -> Self:
        """The role that `arn` names; raises ValueError where it names none."""
        if match := _ROLE.fullmatch(arn):
            return cls(*match.groups())
        raise ValueError("not the ARN of an IAM role")

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.path}{self.name}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a session is: STS's `AssumedRoleUser` ARN. STS drops the role's path."""

    arn: str
    account: str
    session_name: str

    @classmethod
    def parse(cls, arn: str) -> Self:
        """The identity that an assumed-role ARN names; raises ValueError where it names none."""
        if match := _ASSUMED.fullmatch(arn):
            return cls(arn, match[2], match[4])
        raise ValueError("not the ARN of an assumed role")

    def is_of(self, role: Role) -> bool:
        """Whether this is a session of `role`: partition, account and name agree."""
        return self.arn.startswith(f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a hop yields; `expiration` is an instant in aware UTC, in STS's own word."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expiration: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A role session: its credentials and whose they are."""

    credentials: Credentials
    identity: Identity


@dataclass(frozen=True, slots=True)
class Claims:
    """What a projected token says of itself. `expiration` is Unix seconds by the API server's clock.

    `session_name` is the role session name that follows from them (`<namespace>.<pod>`).
    """

    issuer: str
    subject: str
    audience: tuple[str, ...]
    expiration: float
    session_name: str


@dataclass(frozen=True, slots=True)
class Token:
    """A projected service-account token: what is spent, and what it says of itself."""

    value: Secret
    claims: Claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One assume-role call, and everything that shapes the session it yields.

    `source` is the hop whose session signs this one; a first hop has none and spends the token at `token_file`,
    which is empty for every other.
    `duration` is seconds. `session_name` None: the token's own suggestion, inherited along the chain.
    `regions` are the STS regions to ask: the primary one, then the fallbacks. Equal hops are one hop: chains that
    begin alike share their sessions.
    """

    role: Role
    duration: int
    regions: tuple[str, ...]
    source: "Hop | None" = None
    token_file: str = ""
    session_name: str | None = None
    external_id: str | None = field(default=None, repr=False)
    source_identity: str | None = field(default=None, repr=False)
    tags: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    transitive_tags: tuple[str, ...] = field(default=(), repr=False)
    policy: str | None = field(default=None, repr=False)
    policy_arns: tuple[str, ...] = field(default=(), repr=False)

    @property
    def chain(self) -> "tuple[Hop, ...]":
        """The hops from the token to this one, in the order in which they are walked."""
        return (*self.source.chain, self) if self.source else (self,)

    @property
    def position(self) -> int:
        """1 for the hop that spends the token, 2 for the next …"""
        return len(self.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A named chain that is served: the session of its last hop is what workloads get."""

    name: str
    hop: Hop


class MetadataTokens(StrEnum):
    """What EC2 calls `HttpTokens`: whether a metadata token is asked for (IMDSv2), or IMDSv1 is served as well."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class Phase(StrEnum):
    """Where a session stands; fresh and stale are served."""

    EMPTY = "empty"
    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


class Kind(StrEnum):
    """The classes of failure; only the pace of the retries differs."""

    DENIED = "denied"
    UNAVAILABLE = "unavailable"
    SOURCE_GONE = "source_gone"
    TOKEN = "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as a value that may be held, shown and measured: never AWS's own text."""

    kind: Kind
    code: str
    hint: str = ""
