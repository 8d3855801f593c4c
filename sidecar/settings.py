"""Every setting, once: the table from which parser, resolution, `config` and the reference page are made.

What botocore reads by itself (`AWS_CA_BUNDLE`, FIPS, dual-stack, proxies) is not ours to resolve and not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Literal, TypeVar

from sidecar import rules
from sidecar.authorization import TOKEN
from sidecar.model import Role, Secret
from sidecar.rules import Illegal
from sidecar.values import Row, Setting

# Name, or ours and AWS's; default; the profile key that says the same; meaning. A line without bars opens a group.
_TABLE = """
The chain
AWS_ROLE_ARN | | role_arn | the role of hop 1, assumed with the projected token
AWS_WEB_IDENTITY_TOKEN_FILE | {token} | web_identity_token_file | the projected service-account token
SIDECAR_TARGET_ROLE_ARN | | role_arn | the role of hop 2, the one that is served; or `direct` to serve hop 1's
SIDECAR_PROFILES AWS_PROFILE | | | instead of roles: profiles of the AWS config file, a target each, the default first
AWS_CONFIG_FILE | ~/.aws/config | | the AWS config file that holds the profiles
AWS_SHARED_CREDENTIALS_FILE | ~/.aws/credentials | | AWS's credentials file, merged as the AWS CLI does
SIDECAR_SESSION_NAME AWS_ROLE_SESSION_NAME | | role_session_name | by default the token's `<namespace>.<pod>`
SIDECAR_DURATION | 3600 | duration_seconds | seconds asked for on the last hop: 900 to 3600, or to 43200 in direct mode
SIDECAR_SOURCE_DURATION | 3600 | duration_seconds | seconds asked for on the hop before the last: 900 to 43200
SIDECAR_EXTERNAL_ID | | external_id | external id, on the last hop
SIDECAR_SOURCE_IDENTITY | | sidecar_source_identity | source identity, on the last hop
SIDECAR_SESSION_TAGS | | sidecar_session_tags | session tags, on the last hop: `k=v,k=v`
SIDECAR_POLICY | | sidecar_policy | session policy on the last hop: a JSON document
SIDECAR_POLICY_ARNS | | sidecar_policy_arns | managed policies as session policies on the last hop: ARNs, with commas
How STS is reached
AWS_REGION AWS_DEFAULT_REGION | | region | the region whose STS is asked; outranks the profile's
SIDECAR_STS_FALLBACK_REGIONS | | | regions asked in turn while the first one's STS is unavailable
AWS_ENDPOINT_URL_STS AWS_ENDPOINT_URL | | | another STS endpoint; not together with fallback regions
The credential endpoint
SIDECAR_LISTEN | 127.0.0.1:9911 | | a loopback address and a port
SIDECAR_AUTHORIZATION | token | | `token`: callers show the authorization token; `none`: the whole pod is served
SIDECAR_AUTHORIZATION_DIR | /var/run/credential-sidecar | | holds `<target>/token`, each target's authorization token
SIDECAR_AUTHORIZATION_TOKEN | | | the first target's: at least 16 of `[A-Za-z0-9._~-]`; by default a random one
The process
SIDECAR_STATUS_LISTEN | *:9912 | | probes, metrics and status: an address and a port; `*` is all of both families
SIDECAR_STATE_DIR | | | an in-memory volume of the sidecar alone, where held sessions survive its restart
SIDECAR_DRAIN | 0 | | seconds of serving after SIGTERM
SIDECAR_LOG_LEVEL | info | | `debug`, `info`, `warning` or `error`
SIDECAR_LOG_FORMAT | | | `json` or `text`; by default `text` on a terminal and `json` elsewhere
"""
_TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"  # where the EKS webhook projects it

T = TypeVar("T")
DIRECT: Literal["direct"] = "direct"

# It goes into URLs, metrics and, as a directory, into paths: so neither `.` nor `..`.
TARGET_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")
# How every address of both families, or of one, is written.
ANY_HOST = ("*", "0.0.0.0", "::")
# Longer than any grace period seen in the wild: a day.
_LONGEST_DRAIN = 86_400.0
_LAST_PORT = 65_535


class Authorization(StrEnum):
    """Whether the credential endpoint asks callers for an authorization token."""

    TOKEN = "token"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: a literal IP address, or `*` for every address of both families; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def status_address(value: str) -> Address:
    """Any literal address, or `*`, and a port."""
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > _LAST_PORT:
        raise Illegal("not an address and a port", "Write for instance 127.0.0.1:9911 (the port is 0 to 65535).")
    try:
        return Address(host=host if host == "*" else str(ip_address(host)), port=int(port))
    except ValueError:
        raise Illegal(
            f"{host!r} is not a literal IP address", "Write 127.0.0.1 rather than a name; IPv6 as [::1]:9911."
        ) from None


def listen_address(value: str) -> Address:
    """A loopback address and port: credentials are served to this pod's containers alone."""
    address = status_address(value)
    if address.host == "*" or not ip_address(address.host).is_loopback:
        raise Illegal(
            "the credential endpoint listens on loopback only: whoever reaches it gets the credentials",
            "Write 127.0.0.1 and a port, or [::1] and a port.",
        )
    return address


def target_role(value: str) -> Role | Literal["direct"]:
    """A role, or the word that asks for a chain of one hop."""
    return DIRECT if value == DIRECT else rules.role(value)


def profile_names(value: str) -> tuple[str, ...]:
    """Names of profiles that become targets, in order and none twice."""
    names = rules.items(value)
    for name in names:
        if not TARGET_NAME.fullmatch(name):
            raise Illegal(
                f"{name!r} cannot name a target: the name goes into URLs, paths and metrics",
                "Rename the profile to 1 to 64 of [A-Za-z0-9._-].",
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Illegal(f"the profile {twice!r} is named twice", "Name it once.")
    return names


def authorization_token(value: str) -> Secret:
    """At least 16 characters that are safe in a header and in a URL."""
    if not TOKEN.fullmatch(value):
        raise Illegal(
            "not a usable authorization token (its value is not shown)",
            "Give at least 16 of [A-Za-z0-9._~-], or leave it out for 256 random bits.",
        )
    return Secret(value)


def drain(value: str) -> float:
    """Seconds, 0 to a day."""
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", value, re.ASCII) or float(value) > _LONGEST_DRAIN:
        raise Illegal("not a number of seconds from 0 to 86400", "Write for instance 25.")
    return float(value)


def one_of(*choices: str) -> Callable[[str], str]:
    """The parser that takes `choices` alone."""

    def parse(value: str) -> str:
        if value not in choices:
            raise Illegal("no such choice", f"Write {', '.join(choices[:-1])} or {choices[-1]}.")
        return value

    return parse


def authorization(value: str) -> Authorization:
    """`token` or `none`."""
    return Authorization(one_of(*Authorization)(value))


def _rows() -> Iterator[Row]:
    group = ""
    for line in _TABLE.strip().splitlines():
        if "|" in line:
            names, default, key, meaning = map(str.strip, line.split("|"))
            name, _, aws = names.partition(" ")
            yield Row(name=name, aws=aws, default=default.format(token=_TOKEN), key=key, meaning=meaning, group=group)
        else:
            group = line


_ROWS = {row.name: row for row in _rows()}


def _of(
    name: str, parse: Callable[[str], T], *, field: str = "", has_flag: bool = True, is_secret: bool = False
) -> Setting[T]:
    return Setting(row=_ROWS[name], parse=parse, field=field, has_flag=has_flag, is_secret=is_secret)


ROLE_ARN = _of("AWS_ROLE_ARN", rules.role, field="role")
TOKEN_FILE = _of("AWS_WEB_IDENTITY_TOKEN_FILE", str, field="token_file")
TARGET_ROLE_ARN = _of("SIDECAR_TARGET_ROLE_ARN", target_role, field="role")
PROFILES = _of("SIDECAR_PROFILES", profile_names)
CONFIG_FILE = _of("AWS_CONFIG_FILE", str)
CREDENTIALS_FILE = _of("AWS_SHARED_CREDENTIALS_FILE", str)
SESSION_NAME = _of("SIDECAR_SESSION_NAME", rules.session_name, field="session_name")
DURATION = _of("SIDECAR_DURATION", rules.duration, field="duration")
SOURCE_DURATION = _of("SIDECAR_SOURCE_DURATION", rules.duration, field="duration")
EXTERNAL_ID = _of("SIDECAR_EXTERNAL_ID", rules.external_id, field="external_id")
SOURCE_IDENTITY = _of("SIDECAR_SOURCE_IDENTITY", rules.source_identity, field="source_identity")
SESSION_TAGS = _of("SIDECAR_SESSION_TAGS", rules.tags, field="tags")
POLICY = _of("SIDECAR_POLICY", rules.policy, field="policy")
POLICY_ARNS = _of("SIDECAR_POLICY_ARNS", rules.policy_arns, field="policy_arns")
REGION = _of("AWS_REGION", rules.region)
FALLBACK_REGIONS = _of("SIDECAR_STS_FALLBACK_REGIONS", rules.regions)
ENDPOINT_URL = _of("AWS_ENDPOINT_URL_STS", str, has_flag=False)
LISTEN = _of("SIDECAR_LISTEN", listen_address)
AUTHORIZATION = _of("SIDECAR_AUTHORIZATION", authorization)
AUTHORIZATION_DIR = _of("SIDECAR_AUTHORIZATION_DIR", str)
AUTHORIZATION_TOKEN = _of("SIDECAR_AUTHORIZATION_TOKEN", authorization_token, has_flag=False, is_secret=True)
STATUS_LISTEN = _of("SIDECAR_STATUS_LISTEN", status_address)
STATE_DIR = _of("SIDECAR_STATE_DIR", str)
DRAIN = _of("SIDECAR_DRAIN", drain)
LOG_LEVEL = _of("SIDECAR_LOG_LEVEL", one_of("debug", "info", "warning", "error"))
LOG_FORMAT = _of("SIDECAR_LOG_FORMAT", one_of("json", "text"))

SETTINGS: tuple[Setting[Any], ...] = tuple(each for each in globals().values() if isinstance(each, Setting))
# What shapes the last hop; each has the field of the hop that it fills.
LAST_HOP = (TARGET_ROLE_ARN, DURATION, EXTERNAL_ID, SOURCE_IDENTITY, SESSION_TAGS, POLICY, POLICY_ARNS)
