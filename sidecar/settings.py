"""Every setting, once: the table from which parser, resolution, `config` and the reference page are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Literal

from sidecar import rules
from sidecar.authorization import TOKEN
from sidecar.model import Role, Secret
from sidecar.rules import Illegal
from sidecar.values import Group, Setting

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


def listen_address(value: str) -> Address:
    """A loopback address and port: credentials are served to this pod's containers alone."""
    address = _address(value)
    if address.host == "*" or not ip_address(address.host).is_loopback:
        raise Illegal(
            "the credential endpoint listens on loopback only: whoever reaches it gets the credentials",
            "Write 127.0.0.1 and a port, or [::1] and a port.",
        )
    return address


def status_address(value: str) -> Address:
    """Any literal address, or `*`, and a port."""
    return _address(value)


def _address(value: str) -> Address:
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


def authorization(value: str) -> Authorization:
    """`token` or `none`."""
    return Authorization(_one_of(value, tuple(Authorization)))


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


def log_level(value: str) -> str:
    """One of the four levels."""
    return _one_of(value, ("debug", "info", "warning", "error"))


def log_format(value: str) -> str:
    """`json` or `text`."""
    return _one_of(value, ("json", "text"))


def _one_of(value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise Illegal("no such choice", f"Write {', '.join(choices[:-1])} or {choices[-1]}.")
    return value


ROLE_ARN = Setting(
    name="AWS_ROLE_ARN",
    group=Group.CHAIN,
    meaning="the role of hop 1, assumed with the projected token",
    parse=rules.role,
    profile_key="role_arn",
)
TOKEN_FILE = Setting(
    name="AWS_WEB_IDENTITY_TOKEN_FILE",
    group=Group.CHAIN,
    meaning="the projected service-account token",
    parse=str,
    default="/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    profile_key="web_identity_token_file",
)
TARGET_ROLE_ARN = Setting(
    name="SIDECAR_TARGET_ROLE_ARN",
    group=Group.CHAIN,
    meaning="the role of hop 2, the one that is served; or `direct` where hop 1's role is",
    parse=target_role,
    profile_key="role_arn",
)
PROFILES = Setting(
    name="SIDECAR_PROFILES",
    group=Group.CHAIN,
    meaning="instead of roles: profiles of the AWS config file, one target each; the first is the default target",
    parse=profile_names,
    aws=("AWS_PROFILE",),
)
CONFIG_FILE = Setting(
    name="AWS_CONFIG_FILE",
    group=Group.CHAIN,
    meaning="the AWS config file that holds the profiles",
    parse=str,
    default="~/.aws/config",
)
CREDENTIALS_FILE = Setting(
    name="AWS_SHARED_CREDENTIALS_FILE",
    group=Group.CHAIN,
    meaning="the AWS credentials file, merged into the profiles as the AWS CLI does",
    parse=str,
    default="~/.aws/credentials",
)
SESSION_NAME = Setting(
    name="SIDECAR_SESSION_NAME",
    group=Group.CHAIN,
    meaning="role session name of every hop; by default `<namespace>.<pod>`, from the token",
    parse=rules.session_name,
    aws=("AWS_ROLE_SESSION_NAME",),
    profile_key="role_session_name",
)
DURATION = Setting(
    name="SIDECAR_DURATION",
    group=Group.CHAIN,
    meaning="seconds asked for on the last hop: 900 to 3600, or to 43200 where it is the only hop",
    parse=rules.duration,
    default="3600",
    profile_key="duration_seconds",
)
SOURCE_DURATION = Setting(
    name="SIDECAR_SOURCE_DURATION",
    group=Group.CHAIN,
    meaning="seconds asked for on the hop before the last: 900 to 43200",
    parse=rules.duration,
    default="3600",
    profile_key="duration_seconds",
)
EXTERNAL_ID = Setting(
    name="SIDECAR_EXTERNAL_ID",
    group=Group.CHAIN,
    meaning="external id, on the last hop",
    parse=rules.external_id,
    profile_key="external_id",
)
SOURCE_IDENTITY = Setting(
    name="SIDECAR_SOURCE_IDENTITY",
    group=Group.CHAIN,
    meaning="source identity, on the last hop",
    parse=rules.source_identity,
    profile_key="sidecar_source_identity",
)
SESSION_TAGS = Setting(
    name="SIDECAR_SESSION_TAGS",
    group=Group.CHAIN,
    meaning="session tags, on the last hop: `k=v,k=v`",
    parse=rules.tags,
    profile_key="sidecar_session_tags",
)
POLICY = Setting(
    name="SIDECAR_POLICY",
    group=Group.CHAIN,
    meaning="session policy on the last hop: a JSON document",
    parse=rules.policy,
    profile_key="sidecar_policy",
)
POLICY_ARNS = Setting(
    name="SIDECAR_POLICY_ARNS",
    group=Group.CHAIN,
    meaning="managed policies as session policies on the last hop: ARNs, separated by commas",
    parse=rules.policy_arns,
    profile_key="sidecar_policy_arns",
)
REGION = Setting(
    name="AWS_REGION",
    group=Group.STS,
    meaning="the region whose STS is asked; else the profile's `region`",
    parse=rules.region,
    aws=("AWS_DEFAULT_REGION",),
)
FALLBACK_REGIONS = Setting(
    name="SIDECAR_STS_FALLBACK_REGIONS",
    group=Group.STS,
    meaning="regions asked in turn while the first one's STS is unavailable; not together with an endpoint URL",
    parse=rules.regions,
)
ENDPOINT_URL = Setting(
    name="AWS_ENDPOINT_URL_STS",
    group=Group.STS,
    meaning="another STS endpoint, for instance a VPC endpoint's own name",
    parse=str,
    aws=("AWS_ENDPOINT_URL",),
    has_flag=False,
)
CA_BUNDLE = Setting(
    name="AWS_CA_BUNDLE",
    group=Group.STS,
    meaning="certificates to trust for STS, a PEM file",
    parse=str,
    has_flag=False,
)
FIPS = Setting(
    name="AWS_USE_FIPS_ENDPOINT", group=Group.STS, meaning="`true` asks STS's FIPS endpoint", parse=str, has_flag=False
)
DUAL_STACK = Setting(
    name="AWS_USE_DUALSTACK_ENDPOINT",
    group=Group.STS,
    meaning="`true` asks STS's dual-stack endpoint",
    parse=str,
    has_flag=False,
)
LISTEN = Setting(
    name="SIDECAR_LISTEN",
    group=Group.ENDPOINT,
    meaning="the credential endpoint: a loopback address and a port",
    parse=listen_address,
    default="127.0.0.1:9911",
)
AUTHORIZATION = Setting(
    name="SIDECAR_AUTHORIZATION",
    group=Group.ENDPOINT,
    meaning="`token`: callers show the authorization token; `none`: every process in the pod is served",
    parse=authorization,
    default="token",
)
AUTHORIZATION_DIR = Setting(
    name="SIDECAR_AUTHORIZATION_DIR",
    group=Group.ENDPOINT,
    meaning="holds `<target>/token`, the authorization token of each target",
    parse=str,
    default="/var/run/credential-sidecar",
)
AUTHORIZATION_TOKEN = Setting(
    name="SIDECAR_AUTHORIZATION_TOKEN",
    group=Group.ENDPOINT,
    meaning="the first target's authorization token, at least 16 of `[A-Za-z0-9._~-]`; by default a random one",
    parse=authorization_token,
    secret=True,
)
STATUS_LISTEN = Setting(
    name="SIDECAR_STATUS_LISTEN",
    group=Group.PROCESS,
    meaning="probes, metrics and status: an address and a port; `*` is every address of both families",
    parse=status_address,
    default="*:9912",
)
STATE_DIR = Setting(
    name="SIDECAR_STATE_DIR",
    group=Group.PROCESS,
    meaning="an in-memory volume of the sidecar alone, where held sessions survive its restart",
    parse=str,
)
DRAIN = Setting(
    name="SIDECAR_DRAIN", group=Group.PROCESS, meaning="seconds of serving after SIGTERM", parse=drain, default="0"
)
LOG_LEVEL = Setting(
    name="SIDECAR_LOG_LEVEL",
    group=Group.PROCESS,
    meaning="`debug`, `info`, `warning` or `error`",
    parse=log_level,
    default="info",
)
LOG_FORMAT = Setting(
    name="SIDECAR_LOG_FORMAT",
    group=Group.PROCESS,
    meaning="`json` or `text`; by default `text` on a terminal and `json` elsewhere",
    parse=log_format,
)

SETTINGS: tuple[Setting[Any], ...] = (
    ROLE_ARN,
    TOKEN_FILE,
    TARGET_ROLE_ARN,
    PROFILES,
    CONFIG_FILE,
    CREDENTIALS_FILE,
    SESSION_NAME,
    DURATION,
    SOURCE_DURATION,
    EXTERNAL_ID,
    SOURCE_IDENTITY,
    SESSION_TAGS,
    POLICY,
    POLICY_ARNS,
    REGION,
    FALLBACK_REGIONS,
    ENDPOINT_URL,
    CA_BUNDLE,
    FIPS,
    DUAL_STACK,
    LISTEN,
    AUTHORIZATION,
    AUTHORIZATION_DIR,
    AUTHORIZATION_TOKEN,
    STATUS_LISTEN,
    STATE_DIR,
    DRAIN,
    LOG_LEVEL,
    LOG_FORMAT,
)
