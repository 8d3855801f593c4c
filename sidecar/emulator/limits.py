"""The parameters of the two AssumeRole actions, read from a query request and held to every limit of the STS model.

All violations of length, range and pattern are reported in one ValidationError, as AWS does. Limits: botocore's
`sts/2011-06-15/service-2.json` and the API reference.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.emulator.policy import Policy, PolicyError, check_identity
from sidecar.emulator.refusals import Refusal
from sidecar.emulator.world import RoleArn

Parameters = Mapping[str, str]

DEFAULT_DURATION: Final = 3600  # AssumeRole.DurationSeconds
MAX_TAGS: Final = 50
MAX_POLICY_ARNS: Final = 10
MAX_POLICY: Final = 2048  # characters, for the inline policy
# AWS does not publish how it packs. Tags: the six tags of EKS Pod Identity were measured at 74 %
# (aws/containers-roadmap#2413), about 280 bytes of keys and values. Policies: ours, deflated bytes of 1 KiB.
PACKED_TAG_BYTES: Final = 384
PACKED_POLICY_BYTES: Final = 1024

_NAME: Final = r"[\w+=,.@-]*"
_TAG: Final = r"[\w\s.:/=+\-@]*"  # the model's [\p{L}\p{Z}\p{N}_.:/=+\-@]*, in Python's words


@dataclass(frozen=True, slots=True)
class _Text:
    least: int
    most: int
    pattern: str = r"[\t\n\r -\u00FF]*"
    shown: str = r"[\u0009\u000A\u000D\u0020-\u00FF]+"
    unicode: bool = False

    def violations(self, value: str) -> Iterator[str]:
        if len(value) < self.least:
            yield f"Member must have length greater than or equal to {self.least}"
        if len(value) > self.most:
            yield f"Member must have length less than or equal to {self.most}"
        if not re.fullmatch(self.pattern, value, 0 if self.unicode else re.ASCII):
            yield f"Member must satisfy regular expression pattern: {self.shown}"


_TEXTS: Final[Mapping[str, _Text]] = {
    "RoleArn": _Text(20, 2048),
    "RoleSessionName": _Text(2, 64, _NAME, _NAME),
    "WebIdentityToken": _Text(4, 20000),
    "ExternalId": _Text(2, 1224, r"[\w+=,.@:/-]*", r"[\w+=,.@:\/-]*"),
    "SourceIdentity": _Text(2, 64, _NAME, _NAME),
    "Policy": _Text(1, MAX_POLICY),
}
_TAG_KEY: Final = _Text(1, 128, _TAG, r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", unicode=True)
_TAG_VALUE: Final = _Text(0, 256, _TAG, r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", unicode=True)

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "AssumeRole": ("RoleArn", "RoleSessionName"),
    "AssumeRoleWithWebIdentity": ("RoleArn", "RoleSessionName", "WebIdentityToken"),
}
_ONLY_ASSUME_ROLE: Final = ("ExternalId", "SourceIdentity")  # AssumeRoleWithWebIdentity has no such parameter: ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an AssumeRole or AssumeRoleWithWebIdentity call asks for, each value within its limits."""

    role: RoleArn
    session_name: str
    duration: int
    policy: Policy | None = None
    policy_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: frozenset[str] = frozenset()
    external_id: str | None = None
    source_identity: str | None = None
    token: str = field(default="", repr=False)


def read(action: str, parameters: Parameters) -> Asked:
    """The parameters of `action`; Refusal("ValidationError") or ("MalformedPolicyDocument") where one is out of
    bounds.
    """
    given = {name: parameters[name] for name in _TEXTS if name in parameters}
    if action != "AssumeRole":
        given = {name: value for name, value in given.items() if name not in _ONLY_ASSUME_ROLE}
    tags = _tags(parameters) if action == "AssumeRole" else []
    _refuse_all([*_absent(action, given), *_texts(given), *_duration(parameters), *_tag_texts(tags)])
    arns = tuple(_members(parameters, "PolicyArns", ".arn"))
    if len(arns) > MAX_POLICY_ARNS:
        _refuse_all([_violated("policyArns", "", f"Member must have length less than or equal to {MAX_POLICY_ARNS}")])
    return Asked(
        role=_role(given["RoleArn"]),
        session_name=given["RoleSessionName"],
        duration=int(parameters.get("DurationSeconds", DEFAULT_DURATION)),
        policy=_policy(given.get("Policy")),
        policy_arns=arns,
        tags=_distinct(tags),
        transitive_tags=_transitive(parameters, tags) if action == "AssumeRole" else frozenset(),
        external_id=given.get("ExternalId"),
        source_identity=_source_identity(given.get("SourceIdentity")),
        token=given.get("WebIdentityToken", ""),
    )


def claimed_tags(claim: Any) -> tuple[dict[str, str], frozenset[str]]:
    """Tags and transitive keys of the JWT claim `https://aws.amazon.com/tags`; IDPRejectedClaim where it is
    malformed.
    """
    try:
        tags = [(str(key), str(value)) for key, (value,) in claim.get("principal_tags", {}).items()]
        keys = frozenset(map(str, claim.get("transitive_tag_keys", ())))
    except (AttributeError, TypeError, ValueError):
        raise Refusal("IDPRejectedClaim", "The tags claim is malformed") from None  # (ours)
    _refuse_all(_tag_texts(tags))
    return _distinct(tags), keys


def claimed_source_identity(claim: Any) -> str | None:
    """The JWT claim `https://aws.amazon.com/source_identity`; IDPRejectedClaim where it is no legal one."""
    legal = isinstance(claim, str) and not [*_TEXTS["SourceIdentity"].violations(claim)]
    if claim is not None and not legal:
        raise Refusal("IDPRejectedClaim", "The source identity claim is malformed")  # (ours)
    return _source_identity(claim)


def packed_size(asked: Asked, tags: Mapping[str, str]) -> int | None:
    """Percent of the packed space that policies and `tags` (inherited ones too) take, None without any.

    Our estimate (see the constants); above 100 it is a Refusal("PackedPolicyTooLarge").
    """
    policies = json.dumps([asked.policy, *asked.policy_arns], separators=(",", ":")).encode()
    spent = 0.0
    if asked.policy is not None or asked.policy_arns:
        spent += len(zlib.compress(policies, 9)) / PACKED_POLICY_BYTES
    spent += sum(len((key + value).encode()) for key, value in tags.items()) / PACKED_TAG_BYTES
    percent = -(-spent * 100 // 1)
    if percent > 100:
        what = "session policy and tags" if asked.policy is not None and tags else "session tags" if tags else "policy"
        raise Refusal("PackedPolicyTooLarge", f"Packed size of {what} consumes {percent:.0f}% of allotted space.")
    return int(percent) or None


def _absent(action: str, given: Parameters) -> Iterator[str]:
    for name in REQUIRED[action]:
        if name not in given:
            member = name[0].lower() + name[1:]
            yield f"Value null at '{member}' failed to satisfy constraint: Member must not be null"


def _texts(given: Parameters) -> Iterator[str]:
    for name, value in given.items():
        member = name[0].lower() + name[1:]
        shown = "" if name == "WebIdentityToken" else value  # the model marks it sensitive
        yield from (_violated(member, shown, what) for what in _TEXTS[name].violations(value))


def _tag_texts(tags: list[tuple[str, str]]) -> Iterator[str]:
    if len(tags) > MAX_TAGS:
        yield _violated("tags", "", f"Member must have length less than or equal to {MAX_TAGS}")
    for number, (key, value) in enumerate(tags, 1):
        yield from (_violated(f"tags.{number}.member.key", key, what) for what in _TAG_KEY.violations(key))
        yield from (_violated(f"tags.{number}.member.value", value, what) for what in _TAG_VALUE.violations(value))


def _duration(parameters: Parameters) -> Iterator[str]:
    text = parameters.get("DurationSeconds", str(DEFAULT_DURATION))
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise Refusal("ValidationError", f"{text[:20]!r} at 'durationSeconds' is no integer")  # (ours)
    if int(text) < 900:
        yield _violated("durationSeconds", text, "Member must have value greater than or equal to 900")
    if int(text) > 43200:
        yield _violated("durationSeconds", text, "Member must have value less than or equal to 43200")


def _violated(member: str, value: str, what: str) -> str:
    return f"Value '{value}' at '{member}' failed to satisfy constraint: {what}"


def _refuse_all(violations: Iterator[str] | list[str]) -> None:
    if found := list(violations):
        errors = "error" if len(found) == 1 else "errors"
        raise Refusal("ValidationError", f"{len(found)} validation {errors} detected: {'; '.join(found)}")


def _role(arn: str) -> RoleArn:
    role = RoleArn.parse(arn)
    if role is None:
        raise Refusal("ValidationError", f"{arn} is invalid")
    return role


def _policy(text: str | None) -> Policy | None:
    if text is None:
        return None
    try:
        policy: Policy = json.loads(text)
        check_identity(policy)
    except (PolicyError, ValueError, RecursionError) as wrong:
        raise Refusal("MalformedPolicyDocument", f"The policy is not in the valid JSON format: {wrong}") from None
    return policy


def _source_identity(text: str | None) -> str | None:
    if text is not None and text.lower().startswith("aws:"):
        raise Refusal("ValidationError", "sourceIdentity must not begin with the reserved prefix aws:")  # (ours)
    return text


def _members(parameters: Parameters, name: str, suffix: str) -> Iterator[str]:
    number = 1
    while (value := parameters.get(f"{name}.member.{number}{suffix}")) is not None:
        yield value
        number += 1


def _tags(parameters: Parameters) -> list[tuple[str, str]]:
    keys = _members(parameters, "Tags", ".Key")
    return [(key, parameters.get(f"Tags.member.{number}.Value", "")) for number, key in enumerate(keys, 1)]


def _distinct(tags: list[tuple[str, str]]) -> dict[str, str]:
    if len({key.casefold() for key, _ in tags}) < len(tags):
        raise Refusal("ValidationError", "Duplicate tag keys found. Tag keys are case insensitive.")  # (ours)
    if any(key.casefold().startswith("aws:") for key, _ in tags):
        raise Refusal("ValidationError", "Tag keys must not begin with the reserved prefix aws:")  # (ours)
    return dict(tags)


def _transitive(parameters: Parameters, tags: list[tuple[str, str]]) -> frozenset[str]:
    wanted = {key.casefold() for key in _members(parameters, "TransitiveTagKeys", "")}
    if not wanted <= {key.casefold() for key, _ in tags}:
        raise Refusal("ValidationError", "A transitive tag key must be one of the requested tags.")  # (ours)
    return frozenset(key for key, _ in tags if key.casefold() in wanted)
