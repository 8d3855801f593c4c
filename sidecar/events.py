"""Everything that happens, as frozen values: log, metrics and status are three subscribers of the same stream.

No field can hold a secret. Seconds are durations or Unix time as each field says; `targets` are the names of the
targets on whose behalf a hop was called. What an event is called, how loud it is, what it says and which facts it has
are decided here for all who tell of it; docs/events.md is made from it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, dataclass_transform

from sidecar.model import Claims, Failure, Hop, Phase
from sidecar.remedies import page, section

Facts = Mapping[str, object]
# Facts for the log alone: they join us to CloudTrail, or are the token's own words. No sentence can name them.
DISCREET = frozenset({"access_key_id", "arn", "audience", "issuer", "request_id", "subject"})
# What others make happen as often as they like is told of so many times in a while, each another one.
MOST_TOLD = 100


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event:
    """Something that happened: one of the classes below, each of them a frozen dataclass.

    `says` is what the log says of it, from its facts, and `level` how loudly, as long as nothing makes it special.
    """

    says: ClassVar[str]
    level: ClassVar[str]

    def __init_subclass__(cls, *, says: str, level: str = "info") -> None:
        cls.says, cls.level = says, level
        dataclass(frozen=True, kw_only=True)(cls)

    @property
    def runbook(self) -> str | None:
        """The section of the runbook on it: of its own name where it is loud by itself, none where nothing is wrong."""
        return None if self.level == "info" else section(type(self).__name__)


class Started(Event, says="credential-sidecar {version} serves {targets}"):
    """The daemon begins: its version, what it will serve, and what is odd about its configuration."""

    version: str
    targets: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def runbook(self) -> str | None:
        return section("settings-odd") if self.warnings else None


class Listening(Event, says="{face} on {addresses}"):
    """A listener accepts connections; `face` is `credentials`, `imds` or `status`."""

    face: str
    addresses: tuple[str, ...]


class TokenRead(Event, says="projected token read"):
    """A projected token that was not there before; `rotated` if it replaced another."""

    path: str
    claims: Claims
    rotated: bool


class TokenFailed(Event, level="warning", says="projected token {path} is {reason}: {detail}"):
    """The token file cannot be used, in a way it could not a moment ago."""

    path: str
    reason: str
    detail: str

    @property
    def runbook(self) -> str:
        return page(f"Token{self.reason.capitalize()}", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call for a hop: `seconds` is how long it took, `region` is None where nothing was spent on STS."""

    hop: Hop
    targets: tuple[str, ...]
    region: str | None
    seconds: float
    request_id: str | None


class HopSucceeded(Event, says="hop {hop} assumed {role} for {lifetime:.0f} s"):
    """STS granted a session that lives for `lifetime` seconds; `packed` is in percent of the space for policies."""

    attempt: Attempt
    lifetime: float
    expiration: str
    access_key_id: str
    arn: str
    packed: int | None


class HopFailed(Event, level="warning", says="hop {hop} to {role} failed: {code}: {hint}; again in {retry_in:.0f} s"):
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

    @property
    def runbook(self) -> str:
        return page(self.failure.code, self.attempt.hop.position)


class PhaseChanged(Event, says="{target} is {after} with {remaining:.0f} s left"):
    """A target moved from one phase to another; `remaining` is the served session's life in seconds."""

    target: str
    before: Phase
    after: Phase
    remaining: float

    @property
    def runbook(self) -> str | None:
        return section(self.after) if self.after is Phase.EXPIRED else None


class Skewed(Event, says="STS's clock is {seconds:+.0f} s ahead of the node's"):
    """The node's clock differs from STS's by `seconds` (positive: the node is behind), or agrees again.

    `severity` is the level to say it at: `info`, `warning` or `error`.
    """

    seconds: float
    severity: str

    @property
    def runbook(self) -> str | None:
        return None if self.severity == "info" else section("clock-skewed")


class RefreshAsked(Event, says="refresh asked for, granted: {granted}"):
    """Somebody asked for a refresh now; not granted if somebody just did."""

    granted: bool


class StateRestored(Event, says="restored {hops} of {written} sessions from before the restart"):
    """Sessions that outlived a restart of the sidecar: how many hops of how many that were written."""

    hops: int
    written: int


class StateIgnored(Event, level="warning", says="state in {path} is not used: {reason}"):
    """The state directory cannot be used, or what it holds is not ours; the daemon goes on without it."""

    path: str
    reason: str


class CredentialsFileFailed(Event, level="error", says="credentials file {path} is not up to date: {reason}"):
    """The shared credentials file could not be replaced, in a way it could a moment ago; it is tried again."""

    path: str
    reason: str


class CredentialsFileWritten(Event, says="credentials file {path} is up to date again"):
    """The shared credentials file could be replaced again."""

    path: str


class HandlerFailed(Event, level="error", says="the {face} failed: {error} at {where}"):
    """A bug: what `face` names raised; a client got a 500. `where` are the places, innermost first, no values."""

    face: str
    error: str
    where: str


class Stopping(Event, says="stopping; serving on for {drain:g} s"):
    """The daemon was told to end and serves on for `drain` seconds."""

    drain: float


Observe = Callable[[Event], None]


class Throttle:
    """Hands each event on to `observe` once in `pause` seconds of `clock`, and at most MOST_TOLD in that time."""

    def __init__(self, observe: Observe, clock: Callable[[], float], pause: float) -> None:
        self._observe, self._clock, self._pause = observe, clock, pause
        self._told: dict[Event, float] = {}

    def __call__(self, event: Event) -> None:
        now = self._clock()
        self._told = {each: when for each, when in self._told.items() if now < when + self._pause}
        if event not in self._told and len(self._told) < MOST_TOLD:
            self._told[event] = now
            self._observe(event)


def level(event: Event) -> str:
    """How loud `event` is: `debug` for what repeats itself, else its class's level or a louder one."""
    match event:
        case Skewed(severity=severity):
            return severity
        case PhaseChanged(after=Phase.EXPIRED):
            return "error"
        case Started(warnings=[_, *_]):
            return "warning"
        case PhaseChanged(before=Phase.FRESH | Phase.STALE) | HopFailed(repeated=True):
            return "debug"
        case _:
            return event.level


def sentence(event: Event) -> str:
    """What `event` says to everybody, from its facts without the discreet ones."""
    known = {name: value for name, value in facts(event).items() if name not in DISCREET}
    said = event.says.format_map(plain(known))
    match event:
        case Skewed(severity="warning" | "error"):
            return f"{said}: signatures fail at 300 s, and SDKs misjudge expirations; mend the node's time"
        case Started(warnings=warnings):
            return "; ".join((said, *warnings))
        case _:
            return said


def plain(known: Facts) -> Facts:
    """The facts as a sentence has them: several of something with commas."""
    return {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in known.items()}


def facts(event: Event) -> Facts:
    """What is known of `event`, by name and without what is not."""
    found = (*_facts(event), ("runbook", event.runbook))
    return {name: value for name, value in found if value is not None}


def _facts(event: Any) -> Iterator[tuple[str, object]]:
    """The event's fields, with a hop as its position and role, and a failure as what people look for."""
    for field in fields(event):
        match getattr(event, field.name):
            case Attempt() | Failure() as part:
                yield from _facts(part)
            case Hop() as hop:
                yield from (("hop", hop.position), ("role", hop.role.arn))
            case Claims() as said:
                yield from (("issuer", said.issuer), ("audience", said.audience), ("subject", said.subject))
                yield "expiration", datetime.fromtimestamp(said.expiration, UTC).isoformat()
            case float(number):
                yield field.name, round(number, 3)
            case value:
                yield field.name, value
