"""Everything that can go wrong, once.

SidecarError
├── ConfigError       which settings, from where, and the remedy      exit 2
├── WalkError         a walk that was made once brought nothing       exit 1
├── ClientError       the running daemon could not be asked           exit 1
│   └── NotYet            it does not listen or has nothing yet: ask again
├── TokenError        missing, unreadable, malformed, expired         no STS call; rotation cures
└── HopError          which hop, which role, which code
    ├── HopDenied         STS understood and refused: look at IAM
    └── HopUnavailable    could not be asked, or answered nonsense
        └── SourceGone    STS no longer knows the source credentials: walk from the token again

Errors hold facts and say their sentence. None ever holds a secret, and none quotes AWS's
message: what AWS wrote may name resources, and it is found in CloudTrail by the request id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sidecar.model import Kind


class SidecarError(Exception):
    """The root: whatever is not one of these is a bug and crashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One wrong setting: its name, the value seen (None where it is secret or absent), its source and the remedy."""

    setting: str
    value: str | None
    source: str
    wrong: str
    remedy: str

    @property
    def seen(self) -> str:
        """All of it but the remedy."""
        value = "" if self.value is None else f"={self.value!r}"
        return f"{self.setting}{value} (from {self.source}): {self.wrong}"

    def __str__(self) -> str:
        return f"{self.seen}. {self.remedy}"


class ConfigError(SidecarError):
    """The configuration cannot work; holds every problem that was found, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, setting: str, value: str | None, source: str, wrong: str, remedy: str) -> Self:
        """The error of one problem."""
        return cls([Problem(setting=setting, value=value, source=source, wrong=wrong, remedy=remedy)])


class WalkError(SidecarError):
    """A single walk brought nothing: the hop at `position` to `role` failed with `code`; `hint` says where to look."""

    def __init__(self, position: int, role: str, code: str, hint: str) -> None:
        super().__init__(f"hop {position} to {role} failed: {code}: {hint}")
        self.position, self.role, self.code, self.hint = position, role, code, hint


class ClientError(SidecarError):
    """The daemon could not be asked, or had nothing to give; the sentence says which setting to look at."""


class NotYet(ClientError):
    """The daemon does not listen yet, or has nothing to give yet: what was asked for may come."""


class TokenTrouble(StrEnum):
    """Why there is no projected token to walk with; the `reason` label of the token metrics."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    MALFORMED = "malformed"
    EXPIRED = "expired"


class TokenError(SidecarError):
    """The projected token at `path` cannot buy a session; `detail` says what was seen and how to mend it.

    `date` is STS's own time in Unix seconds where it was STS that refused the token.
    """

    kind, request_id = Kind.TOKEN, None

    def __init__(self, reason: TokenTrouble, path: str, detail: str, *, date: float | None = None) -> None:
        super().__init__(f"projected token {path} is {reason.value}: {detail}")
        self.reason, self.path, self.detail, self.date = reason, path, detail, date

    @property
    def code(self) -> str:
        """The code that clients and metrics see, for instance `TokenMissing`."""
        return f"Token{self.reason.value.capitalize()}"


class HopError(SidecarError):
    """One assume-role call failed.

    `code` is AWS's code or one of ours (`Timeout`, `ConnectionError`, `BadAnswer`, `ShortSession`, `WrongIdentity`);
    `date` is STS's own time in Unix seconds where it answered at all.
    """

    kind = Kind.UNAVAILABLE

    def __init__(self, code: str, *, request_id: str | None = None, date: float | None = None) -> None:
        super().__init__(code)
        self.code, self.request_id, self.date = code, request_id, date


class HopDenied(HopError):
    """STS understood the call and refused it: retrying soon will not help, IAM must change."""

    kind = Kind.DENIED


class HopUnavailable(HopError):
    """STS could not be asked, or what it answered cannot be used: another attempt may succeed."""


class SourceGone(HopUnavailable):
    """STS no longer accepts the credentials that signed the call; the hops below must be walked again."""

    kind = Kind.SOURCE_GONE
