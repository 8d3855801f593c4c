"""What can be made to go wrong, as values: `sts.fault = Fault.hang().only(action="AssumeRole", region="eu-west-1")`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

MESSAGES: Final = {"Throttling": "Rate exceeded"}  # what STS writes; every other code gets a sentence of ours


class Kind(Enum):
    """How a faulty call is answered."""

    NONE = "none"
    ERROR = "error"
    HTTP = "http"
    HANG = "hang"
    HELD = "held"
    RESET = "reset"
    SLOW = "slow"
    GARBAGE = "garbage"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    LIFETIME = "lifetime"
    IMPOSTOR = "impostor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way of failing, and the calls it applies to: an action, a region, the next `calls` of them (None: all)."""

    kind: Kind = Kind.NONE
    code: str = ""
    message: str = ""
    status: int = 200
    seconds: float = 0.0
    arn: str = ""
    action: str | None = None
    region: str | None = None
    calls: int | None = None

    @classmethod
    def none(cls) -> Fault:
        """No fault."""
        return cls()

    @classmethod
    def error(cls, code: str, status: int = 400, message: str | None = None) -> Fault:
        """A well-formed AWS error with any code: Throttling, IDPCommunicationError, AccessDenied …"""
        said = MESSAGES.get(code, f"{code} was switched on") if message is None else message
        return cls(kind=Kind.ERROR, code=code, status=status, message=said)

    @classmethod
    def http(cls, status: int) -> Fault:
        """A bare HTTP status with a body that is no XML, as a load balancer answers."""
        return cls(kind=Kind.HTTP, status=status)

    @classmethod
    def hang(cls) -> Fault:
        """The request is read and never answered."""
        return cls(kind=Kind.HANG)

    @classmethod
    def held(cls) -> Fault:
        """The true answer, once another fault (or none) is set."""
        return cls(kind=Kind.HELD)

    @classmethod
    def reset(cls) -> Fault:
        """The connection is reset (RST) instead of an answer."""
        return cls(kind=Kind.RESET)

    @classmethod
    def slow(cls, seconds: float = 10.0) -> Fault:
        """The true answer, its bytes dribbling in over `seconds`."""
        return cls(kind=Kind.SLOW, seconds=seconds)

    @classmethod
    def garbage(cls) -> Fault:
        """A 200 whose body is noise."""
        return cls(kind=Kind.GARBAGE)

    @classmethod
    def empty(cls) -> Fault:
        """A 200 without a body."""
        return cls(kind=Kind.EMPTY)

    @classmethod
    def truncated(cls) -> Fault:
        """The head and half of the true answer's body, then the end of the connection."""
        return cls(kind=Kind.TRUNCATED)

    @classmethod
    def expired_session(cls) -> Fault:
        """A success whose session ended a minute ago."""
        return cls(kind=Kind.LIFETIME, seconds=-60.0)

    @classmethod
    def short(cls, seconds: float) -> Fault:
        """A success whose session lives for `seconds` only, whatever was asked."""
        return cls(kind=Kind.LIFETIME, seconds=seconds)

    @classmethod
    def impostor(cls, arn: str) -> Fault:
        """A success that names `arn` as the assumed-role user, not the role that was asked for."""
        return cls(kind=Kind.IMPOSTOR, arn=arn)

    def only(self, action: str | None = None, region: str | None = None, calls: int | None = None) -> Fault:
        """This fault for that action, that region, the next `calls` calls that it meets."""
        return replace(self, action=action, region=region, calls=calls)

    def meets(self, action: str, region: str | None) -> bool:
        """Does this fault strike a call of `action` in `region`?"""
        return (
            self.kind is not Kind.NONE
            and self.calls != 0
            and self.action in (None, action)
            and self.region in (None, region)
        )

    def spent(self) -> Fault:
        """This fault after it struck once."""
        return self if self.calls is None else replace(self, calls=self.calls - 1)
