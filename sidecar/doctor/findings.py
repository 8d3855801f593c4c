"""What doctor says, as values: what was seen, why it matters, and the fix. Nothing here looks at anything.

A finding's code is the anchor of its section in the runbook. Codes of a hop are those of `remedies`, so that log,
status and doctor lead to the same place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sidecar.remedies import PAGE, anchor, known


class State(StrEnum):
    """What is known of what was looked at; unknown: it cannot be told here, or something before it is broken."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


class Part(StrEnum):
    """Whose business a problem is; the first problem's part is the exit code of the command."""

    exit: int

    def __new__(cls, name: str, number: int) -> "Part":
        part = str.__new__(cls, name)
        part._value_ = name
        part.exit = number
        return part

    SETTINGS = "settings", 2
    TOKEN = "token", 3
    STS = "sts", 4
    CLOCK = "clock", 5
    IAM = "iam", 6
    ENDPOINT = "endpoint", 7
    WORKLOAD = "workload", 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do, in a sentence; `paste` is the command, statement or piece of a pod spec that does it.

    Commands of kubectl name the pod by NS and POD, until it is known which one it is.
    """

    says: str
    paste: str = ""

    def of(self, namespace: str, pod: str) -> "Step":
        """The same, of that pod."""
        if not self.paste.startswith("kubectl "):
            return self
        return replace(self, paste=re.sub(r"\bPOD\b", pod, re.sub(r"\bNS\b", namespace, self.paste)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer. `causes` are those that nobody can tell apart from here, `tell` what does, `fix` what mends it."""

    check: str
    code: str
    state: State
    seen: str
    why: str = ""
    causes: tuple[str, ...] = ()
    tell: tuple[Step, ...] = ()
    fix: tuple[Step, ...] = ()

    def of(self, namespace: str, pod: str) -> "Finding":
        """The same, its commands filled in for that pod."""
        tell, fix = (tuple(each.of(namespace, pod) for each in steps) for steps in (self.tell, self.fix))
        return replace(self, tell=tell, fix=fix)

    @property
    def part(self) -> Part | None:
        """Whose business it is; None where nothing is wrong."""
        return CODES.get(self.code)

    @property
    def page(self) -> str:
        """Where the runbook has more on it; empty where nothing is wrong."""
        return f"{PAGE}#{self.code}" if self.code in CODES else ""


# What is not one hop's failure, by whose business it is.
_OWN = {
    Part.SETTINGS: "settings-wrong region-missing",
    Part.TOKEN: "token-dangling token-by-subpath token-not-rotated",
    Part.STS: "sts-name region-unknown sts-route sts-proxy sts-authority",
    Part.CLOCK: "clock-skewed clock-unknown",
    Part.IAM: "provider-missing audience-unknown permission-missing trust-missing forbidden-above tagsession-missing "
    "setsourceidentity-missing duration-too-long any-other-code",
    Part.ENDPOINT: "port-taken no-sidecar-here authorization-missing authorization-unreadable authorization-newline "
    "authorization-of-another-target authorization-refused not-served nearly-expired sessions-short",
    Part.WORKLOAD: "static-keys web-identity relative-uri pod-identity uri-elsewhere uri-missing proxied profile-set "
    "empty-variables",
}
_UNREACHED = {"Timeout", "ConnectionError", "BadAnswer", "Throttling", "ShortSession", "WrongIdentity"}
_UNREACHED |= {"RegionDisabledException"}
_TOKEN = {"ExpiredTokenException"}
# What comes after what is broken has no business of its own.
SKIPPED = "not-looked-at"


def _part(code: str, position: int) -> Part:
    if code in _UNREACHED:
        return Part.STS
    return Part.TOKEN if position == 1 and (code.startswith("Token") or code in _TOKEN) else Part.IAM


CODES: Mapping[str, Part] = {
    **{code: part for part, codes in _OWN.items() for code in codes.split()},
    **{anchor(code, position): _part(code, position) for position in (1, 2) for code in known(position)},
}


def ok(check: str, seen: str) -> Finding:
    """All is well with it."""
    return Finding(check=check, code="ok", state=State.OK, seen=seen)


def problem(
    check: str, code: str, seen: str, why: str, *fix: Step, causes: tuple[str, ...] = (), tell: tuple[Step, ...] = ()
) -> Finding:
    """It is wrong; `code` is one of `CODES`."""
    assert code in CODES, code
    return Finding(check=check, code=code, state=State.PROBLEM, seen=seen, why=why, causes=causes, tell=tell, fix=fix)


def unknown(check: str, code: str, seen: str) -> Finding:
    """It cannot be told here; the page of `code` says where it can."""
    assert code in {*CODES, SKIPPED}, code
    return Finding(check=check, code=code, state=State.UNKNOWN, seen=seen)


def skipped(check: str, because: str) -> Finding:
    """Nobody looked, since `because` comes first."""
    return unknown(check, SKIPPED, f"not looked at: {because} comes first")


def cause(findings: tuple[Finding, ...]) -> Finding | None:
    """The first problem: what follows from it is not one."""
    return next(problems(findings), None)


def problems(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Everything that is wrong, in order."""
    return (each for each in findings if each.state is State.PROBLEM)
