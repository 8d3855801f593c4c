"""The rules that STS sets, checked before anything is called: what a value may be, and what a hop may ask for.

A form takes the text of one value and returns what it says, or raises `Illegal` with two sentences: what is wrong,
and what to write instead. `breaches` looks at whole hops, where two values that are each legal cannot stand together.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from sidecar.model import Hop, Role

# Bounds of AssumeRole and AssumeRoleWithWebIdentity in the STS API reference.
SHORTEST, LONGEST = 900, 43_200
CHAINED_LONGEST = 3_600  # role chaining: a session bought with a session lasts one hour at most
DEFAULT_DURATION = 3_600  # what STS itself grants where nothing is asked for
MOST_TAGS, MOST_POLICY_ARNS, POLICY_LENGTH = 50, 10, 2_048

NEVER = r"(?!)"  # the pattern of a form that nothing has

# Stands in for a role that is missing or wrong while the rest of its chain is checked; it is never walked.
STAND_IN = Role.parse("arn:aws:iam::000000000000:role/stand-in")


class Illegal(Exception):
    """A value that cannot be: what is `wrong` with it, and the `remedy`; the latter a whole sentence."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong, remedy)
        self.wrong, self.remedy = wrong, remedy


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is a pattern, by which `make` makes a value, of which something more may have to hold.

    `wrong` may quote the text at `{!r}`.
    """

    pattern: str
    wrong: str
    remedy: str
    make: Callable[[str], Any] = str
    holds: Callable[[Any], bool] = lambda _: True

    def __call__(self, text: str) -> Any:
        with suppress(ValueError, RecursionError):  # JSON may be too deep to be read
            if re.fullmatch(self.pattern, text) and self.holds(value := self.make(text)):
                return value
        raise Illegal(self.wrong.format(text), self.remedy)


@dataclass(frozen=True, slots=True)
class Items:
    """Items of one form between commas, at most so many and none twice; `name` is what tells two apart."""

    item: Form
    what: str
    most: float = inf
    name: Callable[[Any], str] = str.lower

    def __call__(self, text: str) -> tuple[Any, ...]:
        items = tuple(self.item(part.strip()) for part in text.split(","))
        names = [self.name(item) for item in items]
        for name in names:
            if names.count(name) > 1:
                raise Illegal(f"the {self.what} {name!r} is given twice", "Leave one out.")
        if len(items) > self.most:
            raise Illegal(f"{len(items)} {self.what}s, and STS takes {self.most}", "Leave some out.")
        return items


def role(text: str) -> Role:
    """The role whose ARN this is."""
    with suppress(ValueError):
        return Role.parse(text)
    kind = re.match(r"arn:(?:[^:]*:){4}(?!role(?:/|$))([^/]+)", text)
    wrong = "not the ARN of an IAM role, with a partition of AWS and an account of 12 digits"
    wrong = f"its kind is {kind[1]}, and only a role can be assumed" if kind else wrong
    raise Illegal(wrong, "Write it as arn:aws:iam::111122223333:role/NAME.")


def _pair(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("=", 1))


def _is_object(text: str) -> bool:
    return isinstance(json.loads(text), dict)


_NAME, _NAMED = r"(?a)[\w+=,.@-]{2,64}", "Write 2 to 64 of [A-Za-z0-9_+=,.@-]"
_KEY = r"(?!(?i:aws):)[\w .:/+\-@]{1,128}"
_TAGS = "keys of 1 to 128 and values of up to 256 letters, digits, spaces and [_.:/+@-]; aws: begins AWS's own"
_WHOLE, _GRANTED = r"(?a)\d{1,9}", f"not a whole number of seconds that STS grants, {SHORTEST} to {LONGEST} seconds"
_DOCUMENT = 'Write the document itself, as JSON: {"Version": "2012-10-17", "Statement": [...]}.'
_POLICY = f"not a policy document: STS takes a session policy of {POLICY_LENGTH} characters at most, in JSON"
_POLICY_ARN = r"(?a)arn:aws(-[a-z]+)*:iam::(aws|\d{12}):policy/[\x21-\x7e]+"

# A chained hop is bound more tightly by `breaches`.
duration = Form(_WHOLE, _GRANTED, "Write 900 to 3600.", int, lambda seconds: SHORTEST <= seconds <= LONGEST)
session_name = Form(_NAME, "not a legal role session name", f"{_NAMED}, or leave it out for the token's own.")
external_id = Form(r"(?a)[\w+=,.@:/-]{2,1224}", "not a legal external id", "Write 2 to 1224 of [A-Za-z0-9_+=,.@:/-].")
# Whether a region of that form exists is DNS's to say.
region = Form(r"[a-z]{2,}(-[a-z0-9]+)+", "not the name of an AWS region", "Write for instance eu-central-1.")
_arn = Form(_POLICY_ARN, "{!r} is not the ARN of a managed policy", "Write it as arn:aws:iam::aws:policy/NAME.")
_key = Form(_KEY, "{!r} is not a tag key", f"Write keys alone: {_TAGS}.")
# Its value may hold `=`, and neither part a comma.
_tag = Form(rf"{_KEY}=[\w .:/=+\-@]{{0,256}}", "{!r} is not a session tag", f"Write key=value: {_TAGS}.", _pair)

regions = Items(region, "region")

# What a hop can be told: by the field of `Hop` (its `regions` come from a region), the profile's key for it, its form.
PARAMETERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "role": ("role_arn", role),
    "token_file": ("web_identity_token_file", str),
    "session_name": ("role_session_name", session_name),
    "duration": ("duration_seconds", duration),
    "external_id": ("external_id", external_id),
    "source_identity": ("sidecar_source_identity", Form(_NAME, "not a legal source identity", f"{_NAMED}.")),
    "tags": ("sidecar_session_tags", Items(_tag, "session tag", MOST_TAGS, lambda pair: pair[0].lower())),
    "transitive_tags": ("sidecar_transitive_tags", Items(_key, "tag key", MOST_TAGS)),
    "policy": ("sidecar_policy", Form(rf"[\t\n\r\x20-\xff]{{1,{POLICY_LENGTH}}}", _POLICY, _DOCUMENT, str, _is_object)),
    "policy_arns": ("sidecar_policy_arns", Items(_arn, "policy ARN", MOST_POLICY_ARNS)),
    "region": ("region", region),
}


def breaches(hop: Hop) -> Iterator[tuple[str, str, str]]:
    """The rules that `hop` breaks as a whole: those of its kind of call, and that a chain stays in one partition.

    A breach is the field whose value breaks the rule, what is wrong, and the remedy.
    """
    partition, source = hop.role.partition, hop.source
    for field in ("external_id", "source_identity", "tags"):
        if source is None and getattr(hop, field):
            wrong = "this hop spends the token, and AssumeRoleWithWebIdentity has no such parameter"
            yield field, wrong, "Leave it out, or chain: a second hop (AssumeRole) can carry it."
    if source and hop.duration > CHAINED_LONGEST:
        wrong = f"hop {hop.position} is bought with a session, and STS refuses such a role more than 3600 seconds"
        yield "duration", wrong, f"Write {SHORTEST} to {CHAINED_LONGEST}."
    if source and partition != source.role.partition:
        wrong = f"it is not in the partition of {source.role.arn}, and no role can be assumed across partitions"
        yield "role", wrong, "Name two roles of one partition."
    if any(arn.split(":")[1] != partition for arn in hop.policy_arns):
        yield "policy_arns", f"a policy is not in the partition {partition} of the role", "Name policies of it alone."
    for key in sorted({key.lower() for key in hop.transitive_tags} - {tag.lower() for tag, _ in hop.tags}):
        yield ("transitive_tags", f"{key!r} is not among the session tags", "Give the tag a value, or leave it out.")
