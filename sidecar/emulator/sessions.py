"""The role sessions that STS issued, and where they are kept."""

from __future__ import annotations

import base64
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.emulator.policy import Policy
from sidecar.emulator.world import RoleArn

MAX_SESSIONS: Final = 20_000  # about 40 MB: a bound for a server that runs for days, far above what one test asks for
RETENTION: Final = 86_400.0  # seconds an expired session is remembered, so that its use says "expired", not "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSession:
    """One issued session: who it is, until when (unix seconds), what it carries on, and its three secrets."""

    role: RoleArn
    role_id: str
    name: str
    hop: int
    expiration: float
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: frozenset[str] = frozenset()
    source_identity: str | None = None
    policies: tuple[Policy, ...] | None = None  # session policies; None: the role's own permissions, uncut

    @property
    def arn(self) -> str:
        """`arn:…:sts::ACCOUNT:assumed-role/NAME/SESSION`."""
        return self.role.session(self.name)

    @property
    def user_id(self) -> str:
        """`AROA…:SESSION`."""
        return f"{self.role_id}:{self.name}"

    @property
    def inherited_tags(self) -> dict[str, str]:
        """The tags that the next session of the chain inherits: the transitive ones."""
        return {key: value for key, value in self.tags.items() if key in self.transitive_tags}


@dataclass(frozen=True, slots=True)
class Keys:
    """The three strings of fresh credentials, of the lengths and alphabets that AWS uses."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    @classmethod
    def draw(cls, entropy: Callable[[int], bytes]) -> Keys:
        """New keys from `entropy(count)` random bytes; a session token of 720 characters."""
        access_key_id = "ASIA" + base64.b32encode(entropy(10)).decode()
        return cls(access_key_id, base64.b64encode(entropy(30)).decode(), base64.b64encode(entropy(540)).decode())


class Vault:
    """Every session that may still be presented, by its access key id; bounded in number and in age."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, RoleSession] = OrderedDict()
        self._secrets: deque[str] = deque(maxlen=2 * MAX_SESSIONS)

    def keep(self, session: RoleSession, now: float) -> None:
        """Remember `session`, and forget what is long expired or beyond the bound, the oldest first."""
        self._held[session.access_key_id] = session
        self._secrets += (session.secret_access_key, session.session_token)
        while len(self._held) > MAX_SESSIONS or (self._held and self._oldest().expiration < now - RETENTION):
            self._held.popitem(last=False)

    def find(self, access_key_id: str) -> RoleSession | None:
        """The session with this access key id, expired or not, or None."""
        return self._held.get(access_key_id)

    def secrets(self) -> frozenset[str]:
        """Every secret access key and session token issued (of the latest MAX_SESSIONS sessions)."""
        return frozenset(self._secrets)

    def _oldest(self) -> RoleSession:
        return next(iter(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)
