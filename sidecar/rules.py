"""The rules that STS sets, checked before anything is called: what a value may be, and what a hop may ask for.

A parser takes the text of one value and returns what it says, or raises `Illegal` with two sentences: what is
wrong, and what to write instead. `breaches` looks at whole hops, where two values that are each legal cannot stand
together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from sidecar.model import Hop, Role

# Bounds of AssumeRole and AssumeRoleWithWebIdentity in the STS API reference.
SHORTEST, LONGEST = 900, 43_200
CHAINED_LONGEST = 3_600  # role chaining: a session bought with a session lasts one hour at most
DEFAULT_DURATION = 3_600  # what STS itself grants where nothing is asked for
MOST_TAGS, MOST_POLICY_ARNS, POLICY_LENGTH = 50, 10, 2_048

# Stands in for a role that is missing or wrong while the rest of its chain is checked; it is never walked.
STAND_IN = Role.parse("arn:aws:iam::000000000000:role/stand-in")

_TAG_KEY = re.compile(r"(?![aA][wW][sS]:)[\w .:/+\-@]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+\-@]{0,256}")
_TAG_FORM = "keys of 1 to 128 and values of up to 256 letters, digits, spaces and [_.:/+@-]; aws: begins AWS's own"
_POLICY_ARN = re.compile(r"arn:aws(-[a-z]+)*:iam::(aws|\d{12}):policy/[\x21-\x7e]+", re.ASCII)
_ARN = re.compile(r"arn:([^:]*):([^:]*):[^:]*:([^:]*):(.+)")
_POLICY_TEXT = re.compile(r"[\t\n\r\x20-\xff]+")

_ROLE_FORM = "Write it as arn:aws:iam::111122223333:role/NAME."


class Illegal(ValueError):
    """A value that cannot be: what is `wrong` with it, and the `remedy`; the latter a whole sentence."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong, remedy)
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a hop breaks by the value of one of its fields."""

    field: str
    wrong: str
    remedy: str


def role(text: str) -> Role:
    """The role whose ARN this is."""
    try:
        return Role.parse(text)
    except ValueError:
        raise Illegal(_not_a_role(text), _ROLE_FORM) from None


def duration(text: str) -> int:
    """Seconds, 900 to 43200; a chained hop is bound more tightly by `breaches`."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise Illegal("not a whole number of seconds", "Write for instance 3600.")
    seconds = int(text)
    if not SHORTEST <= seconds <= LONGEST:
        raise Illegal(
            f"STS grants sessions of {SHORTEST} to {LONGEST} seconds", f"Write {SHORTEST} to {CHAINED_LONGEST}."
        )
    return seconds


def _matching(pattern: str, wrong: str, remedy: str) -> Callable[[str], str]:
    form = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not form.fullmatch(text):
            raise Illegal(wrong, remedy)
        return text

    return parse


_NAME, _NAMED = r"[\w+=,.@-]{2,64}", "Write 2 to 64 of [A-Za-z0-9_+=,.@-]"
session_name = _matching(_NAME, "not a legal role session name", f"{_NAMED}, or leave it out for the token's own.")
source_identity = _matching(_NAME, "not a legal source identity", f"{_NAMED}.")
external_id = _matching(r"[\w+=,.@:/-]{2,1224}", "not a legal external id", "Write 2 to 1224 of [A-Za-z0-9_+=,.@:/-].")
# Whether a region of that form exists is DNS's to say.
region = _matching(r"[a-z]{2,}(-[a-z0-9]+)+", "not the name of an AWS region", "Write for instance eu-central-1.")


def tags(text: str) -> tuple[tuple[str, str], ...]:
    """Session tags as `k=v,k=v`, in order; the value of a tag may hold `=`, and neither part a comma."""
    pairs = []
    for part in items(text):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (_TAG_KEY.fullmatch(key) and equals and _TAG_VALUE.fullmatch(value)):
            raise Illegal(f"{part!r} is not a session tag", f"Write key=value: {_TAG_FORM}.")
        pairs.append((key, value))
    _distinct([key for key, _ in pairs], "session tag", MOST_TAGS)
    return tuple(pairs)


def tag_keys(text: str) -> tuple[str, ...]:
    """The keys of tags, separated by commas."""
    keys = items(text)
    for key in keys:
        if not _TAG_KEY.fullmatch(key):
            raise Illegal(f"{key!r} is not a tag key", f"Write keys alone: {_TAG_FORM}.")
    _distinct(keys, "tag key", MOST_TAGS)
    return keys


def policy(text: str) -> str:
    """A session policy: a JSON object of at most 2048 characters."""
    if len(text) > POLICY_LENGTH:
        remedy = "Shorten it, or keep it as a managed policy and give that one's ARN."
        raise Illegal(f"{len(text)} characters, and STS takes a session policy of {POLICY_LENGTH}", remedy)
    try:
        is_document = isinstance(json.loads(text), dict)
    except ValueError:
        is_document = False
    if not is_document or not _POLICY_TEXT.fullmatch(text):
        remedy = 'Write the document itself, as JSON: {"Version": "2012-10-17", "Statement": [...]}.'
        raise Illegal("not a policy document", remedy)
    return text


def policy_arns(text: str) -> tuple[str, ...]:
    """At most ten ARNs of managed policies, separated by commas."""
    arns = items(text)
    for arn in arns:
        if not _POLICY_ARN.fullmatch(arn):
            remedy = "Write it as arn:aws:iam::aws:policy/NAME."
            raise Illegal(f"{arn!r} is not the ARN of a managed policy", remedy)
    _distinct(arns, "policy ARN", MOST_POLICY_ARNS)
    return arns


def regions(text: str) -> tuple[str, ...]:
    """Names of regions, separated by commas, none twice."""
    names = tuple(region(name) for name in items(text))
    _distinct(names, "region")
    return names


def items(text: str) -> tuple[str, ...]:
    """The parts between commas, without the white space around them; an empty part is a slip and is refused."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise Illegal("an empty item", "Write items with one comma between them, and none at the end.")
    return parts


def breaches(hop: Hop) -> Iterator[Breach]:
    """The rules that `hop` breaks as a whole: those of its kind of call, and that a chain stays in one partition."""
    yield from _first_breaches(hop) if hop.source is None else _chained_breaches(hop, hop.source)
    partition = hop.role.partition
    for stray in [arn for arn in hop.policy_arns if arn.split(":")[1] != partition][:1]:
        wrong = f"{stray} is not in the partition {partition} of the role"
        yield Breach("policy_arns", wrong, f"Name policies of the partition {partition}.")
    for key in sorted({key.lower() for key in hop.transitive_tags} - {tag.lower() for tag, _ in hop.tags}):
        remedy = "Give the tag a value there, or leave its key out here."
        yield Breach("transitive_tags", f"{key!r} is not among the session tags", remedy)


def _first_breaches(hop: Hop) -> Iterator[Breach]:
    wrong = "this hop spends the token, and AssumeRoleWithWebIdentity has no such parameter"
    remedy = "Leave it out, or chain: a second hop (AssumeRole) can carry it."
    given = {"external_id": hop.external_id, "source_identity": hop.source_identity, "tags": hop.tags}
    return (Breach(field, wrong, remedy) for field, value in given.items() if value)


def _chained_breaches(hop: Hop, source: Hop) -> Iterator[Breach]:
    if hop.duration > CHAINED_LONGEST:
        wrong = (
            f"hop {hop.position} is bought with a session, and STS refuses more than 3600 seconds for a chained role"
        )
        yield Breach("duration", wrong, f"Write {SHORTEST} to {CHAINED_LONGEST}.")
    if hop.role.partition != source.role.partition:
        wrong = f"it is not in the partition of {source.role.arn}, and no role can be assumed across partitions"
        yield Breach("role", wrong, "Name two roles of one partition.")


def _distinct(names: Sequence[str], what: str, most: float = inf) -> None:
    folded = [name.lower() for name in names]
    for name in names:
        if folded.count(name.lower()) > 1:
            raise Illegal(f"the {what} {name!r} is given twice", "Leave one out; upper and lower case are the same.")
    if len(names) > most:
        raise Illegal(f"{len(names)} {what}s, and STS takes {most}", "Leave some out.")


def _not_a_role(text: str) -> str:
    match = _ARN.fullmatch(text)
    if match is None:
        return "not the ARN of an IAM role"
    partition, service, account, resource = match.groups()
    kind = resource.partition("/")[0]
    if (service, kind) != ("iam", "role"):
        return f"its kind is {kind}, and only a role can be assumed"
    if not re.fullmatch(r"aws(-[a-z]+)*", partition):
        return f"{partition!r} is not an AWS partition"
    if not re.fullmatch(r"\d{12}", account, re.ASCII):
        return f"the account {account!r} is not 12 digits"
    return "not the ARN of an IAM role"
