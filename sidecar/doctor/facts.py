"""What the edges of doctor saw, as values; what is made of it is decided elsewhere. No fact holds AWS's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.model import Failure, Hop, Secret
from sidecar.token_file import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file or directory as `stat` has it. `above` are the directories on the way to it that count, itself last."""

    path: str
    mode: int
    uid: int
    gid: int
    is_regular: bool = False
    above: "tuple[Seen, ...]" = ()

    def allows(self, bit: int, uid: int | None, groups: frozenset[int]) -> bool:
        """Whether somebody may read (4) or search (1) it; for a uid that is not known, whether everybody may."""
        if uid == 0:
            return True
        shift = 6 if uid == self.uid else 3 if uid is not None and self.gid in groups else 0
        return bool(self.mode >> shift & bit)

    def __str__(self) -> str:
        return f"mode {self.mode:04o}, owner {self.uid}:{self.gid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """A projected token's file: what a reader finds, where its link leads (if to nothing), what pins it.

    `pinned` is the root of a mount that shows one file, or one of kubelet's timestamped directories, for ever.
    `issued` is the token's `iat` in Unix seconds, `pod` the namespace and the name of the pod that it is bound to.
    """

    path: str
    reading: Reading
    seen: Seen | None
    dangling: str | None
    pinned: str | None
    issued: float | None
    pod: tuple[str, str] | None = None


class Step(StrEnum):
    """Where the way to STS ends."""

    NAME = "name"
    ROUTE = "route"
    PROXY = "proxy"
    AUTHORITY = "authority"
    ARRIVED = "arrived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far one gets on the way to STS in `region`. `proxy` is host and port, without who signs on there.

    `wrong` is the system's word; `is_silent`: nothing came within the time. `elsewhere`: whether the STS of another
    region has a name here, None where nobody asked.
    """

    region: str
    url: str
    proxy: str | None
    step: Step
    peer: str = ""
    wrong: str = ""
    is_silent: bool = False
    elsewhere: bool | None = None
    authorities: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it leads to STS."""
        return self.step is Step.ARRIVED


class Clue(StrEnum):
    """Words that AWS's messages are looked through for, in lower case: which are there is all that is kept."""

    TAG = "sts:tagsession"
    IDENTIFY = "sts:setsourceidentity"
    ASSUME = "sts:assumerole"
    NO_PROVIDER = "no openidconnect provider found"
    AUDIENCE = "incorrect token audience"
    LONGEST = "maxsessionduration"
    BY_IDENTITY = "no identity-based policy allows"
    BY_RESOURCE = "no resource-based policy allows"
    BY_SESSION = "no session policy allows"
    BY_BOUNDARY = "no permissions boundary allows"
    BY_ENDPOINT = "no vpc endpoint policy allows"
    BY_CONTROL = "service control policy"
    BY_RESOURCE_CONTROL = "resource control policy"
    BY_DENY = "explicit deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one hop: who it made of us and for how long, or the failure, with the clues to it.

    `without` are the actions that it does not need any more when it is asked for without tags or source identity: asked
    so, STS grants it. None: that was not tried.
    """

    arn: str = ""
    lifetime: float = 0.0
    failure: Failure | None = None
    clues: frozenset[Clue] = frozenset()
    without: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Every hop that was called, and by how many seconds STS's clock is ahead of ours; None: STS gave no time."""

    outcomes: Mapping[Hop, Outcome] = field(default_factory=dict)
    skew: float | None = None


class Listener(StrEnum):
    """Who answers where the credential endpoint should be."""

    OURS = "ours"
    FOREIGN = "foreign"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHeld:
    """An authorization token's file. `value` is None where it could not be read, `error` says why."""

    path: str
    seen: Seen | None
    value: Secret | None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one target is answered with: status, our code, and the end of what is served in Unix seconds."""

    status: int
    code: str = ""
    expiration: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A container that uses the endpoint: its environment, its uid and groups (None: not known), its `/` from here."""

    environ: Mapping[str, str] = field(repr=False)
    uid: int | None = None
    groups: frozenset[int] = frozenset()
    root: str = "/"
