"""Everything that happens, as frozen values: the log and the metrics are two subscribers of the same stream.

No field can hold a secret. Seconds are durations or Unix time as each field says; `targets` are the names of the
targets on whose behalf a hop was called.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.model import Claims, Failure, Hop, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: one of the classes below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The daemon begins: its version, what it will serve, and what is odd about its configuration."""

    version: str
    targets: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Event):
    """A listener accepts connections; `face` is `credentials` or `status`."""

    face: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRead(Event):
    """A projected token that was not there before; `rotated` if it replaced another."""

    path: str
    claims: Claims
    rotated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFailed(Event):
    """The token file cannot be used, in a way it could not a moment ago."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call for a hop: `seconds` is how long it took, `region` is None where nothing was spent on STS."""

    hop: Hop
    targets: tuple[str, ...]
    region: str | None
    seconds: float
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HopSucceeded(Event):
    """STS granted a session that lives for `lifetime` seconds; `packed` is in percent of the space for policies."""

    attempt: Attempt
    lifetime: float
    expiration: str
    access_key_id: str
    arn: str
    packed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HopFailed(Event):
    """An attempt brought nothing; `repeated` if it failed in the same way before.

    `claims` are those of the token that STS refused: audience and subject are its to judge, and a mismatch is seen at
    a glance.
    """

    attempt: Attempt
    failure: Failure
    failures: int
    retry_in: float
    repeated: bool
    claims: Claims | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged(Event):
    """A target moved from one phase to another; `remaining` is the served session's life in seconds, or None."""

    target: str
    before: Phase
    after: Phase
    remaining: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skewed(Event):
    """The node's clock differs from STS's by `seconds` (positive: the node is behind), or agrees again."""

    seconds: float
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshAsked(Event):
    """Somebody asked for a refresh now; not granted if somebody just did."""

    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRestored(Event):
    """Sessions that outlived a restart of the sidecar: how many hops of how many that were written."""

    hops: int
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateIgnored(Event):
    """The state directory cannot be used, or what it holds is not ours; the daemon goes on without it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerFailed(Event):
    """A bug: what `face` names raised; a client got a 500. `where` are the places, innermost first, no values."""

    face: str
    error: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(Event):
    """The daemon was told to end and serves on for `drain` seconds."""

    drain: float


Observe = Callable[[Event], None]
