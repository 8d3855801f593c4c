"""Every setting, once: the table from which parser, resolution, `config` and the reference page are made.

What botocore reads by itself (`AWS_CA_BUNDLE`, FIPS, dual-stack, proxies) is not ours to resolve and not in it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sidecar.authorization import TOKEN
from sidecar.model import MetadataTokens, Secret
from sidecar.rules import PARAMETERS, Form, Items, regions
from sidecar.values import Setting

DIRECT = "direct"  # as the target's role: the chain of one hop
# It goes into URLs, metrics and, as a directory, into paths: so neither `.` nor `..`.
TARGET_NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}"
# How every address of both families, or of one, is written.
ANY_HOST = ("*", "0.0.0.0", "::")
# What chown takes for "as it is"; uids and gids of OpenShift begin at a billion.
_NOBODY = 2**32 - 1
# Longer than any grace period seen in the wild: a day.
_LONGEST_DRAIN = 86_400


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


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host=host if host == "*" else str(ip_address(host.strip("[]"))), port=int(port))


def _is_loopback(listen: Address) -> bool:
    return listen.host != "*" and ip_address(listen.host).is_loopback


def _owner(text: str) -> tuple[int, int]:
    """The uid and the gid; -1 for what is not said."""
    uid, _, gid = text.partition(":")
    return int(uid or -1), int(gid or -1)


def one_of(*choices: str, make: Callable[[str], Any] = str) -> Form:
    """The form that takes `choices` alone."""
    return Form("|".join(choices), "no such choice", f"Write {', '.join(choices[:-1])} or {choices[-1]}.", make)


_PLACE, _NO_PLACE = r"(?a)(\[.+\]|[^\[\]]+):\d{1,5}", "not a literal IP address and a port from 0 to 65535"
_ANYWHERE = "Write * and a port for every address, or an address of this pod: *:9912, 10.0.0.7:9912, and no host name."
_PLAIN = Form(_PLACE, _NO_PLACE, _ANYWHERE, _address, lambda place: place.port <= 65_535)
_LITERAL = replace(_PLAIN, remedy="Write for instance 127.0.0.1:9911 or [::1]:9911, and no host name.")
_SECRET_FACE = "what serves credentials listens on loopback only: whoever reaches it gets them"
_LOOPBACK = Form(".*", _SECRET_FACE, "Write 127.0.0.1 or [::1], and a port.", _LITERAL, _is_loopback)
_ABSOLUTE, _RELATIVE = "/(.*[^/])", "not the absolute path of a file"
_PATH = Form(_ABSOLUTE, _RELATIVE, "Write for instance /var/run/credential-sidecar-file/credentials.")
_OPEN = "not the permission bits of a file that its owner alone may change"
_MODE = Form(
    "(?a)0?[0-7]{3}",
    _OPEN,
    "Write 0600, or 0640 for a group, or 0644.",
    partial(int, base=8),
    lambda m: m & 0o533 == 0o400,
)
_OWNED = Form(
    r"(?a)\d{1,10}(:\d{1,10})?|:\d{1,10}",
    "not a numeric owner",
    "Write UID, UID:GID or :GID.",
    _owner,
    lambda owner: max(owner) < _NOBODY,
)
_NUMBER, _SECONDS = r"(?a)\d{1,6}(\.\d+)?", f"not a number of seconds from 0 to {_LONGEST_DRAIN}"
# Of a host as botocore takes it, which ends the process at any other: no underscore, as some write it in Compose files.
_LABEL = r"(?!-)[A-Za-z\d-]{1,63}(?<!-)"
_URL = rf"(?a)https?://({_LABEL}(\.{_LABEL})*\.?|\[[\da-fA-F:.]+\])(:\d{{1,5}})?(/\S*)?"
_NAMED = "{!r} cannot name a target: the name goes into URLs, paths and metrics"
_PROFILE = Form(TARGET_NAME, _NAMED, "Rename the profile to 1 to 64 of [A-Za-z0-9._-].")
_UNUSABLE = "not a usable authorization token (its value is not shown)"
_USABLE = "Give at least 16 of [A-Za-z0-9._~-], or leave it out for 256 random bits."

# The forms of what says nothing of a hop; what is not here is any text.
FORMS: Mapping[str, Callable[[str], Any]] = {
    "SIDECAR_PROFILES": Items(_PROFILE, "profile", name=str),
    "SIDECAR_STS_FALLBACK_REGIONS": regions,
    "AWS_ENDPOINT_URL_STS": Form(
        _URL,
        "not the URL of an endpoint",
        "Write https:// and a host (letters, digits, hyphens, dots), or unset it.",
        holds=lambda url: urlsplit(url).port != 0,  # which raises ValueError where it can be none
    ),
    "SIDECAR_LISTEN": _LOOPBACK,
    "SIDECAR_AUTHORIZATION": one_of(*Authorization, make=Authorization),
    "SIDECAR_AUTHORIZATION_TOKEN": Form(TOKEN.pattern, _UNUSABLE, _USABLE, Secret),
    "SIDECAR_IMDS_LISTEN": _LOOPBACK,
    "SIDECAR_IMDS_TOKENS": one_of(*MetadataTokens, make=MetadataTokens),
    "SIDECAR_CREDENTIALS_FILE": _PATH,
    "SIDECAR_CREDENTIALS_FILE_MODE": _MODE,
    "SIDECAR_CREDENTIALS_FILE_OWNER": _OWNED,
    "SIDECAR_STATUS_LISTEN": _PLAIN,
    "SIDECAR_DRAIN": Form(_NUMBER, _SECONDS, "Write for instance 25.", float, lambda n: n <= _LONGEST_DRAIN),
    "SIDECAR_LOG_LEVEL": one_of("debug", "info", "warning", "error"),
    "SIDECAR_LOG_FORMAT": one_of("json", "text"),
}
_SECRET = "SIDECAR_AUTHORIZATION_TOKEN"


def table(path: Path) -> Iterator[list[str]]:
    """The rows of a table of texts: the group, which a line without bars opens, and what is between the bars."""
    group = ""
    for line in path.read_text("ascii").splitlines():
        if "|" in line:
            yield [group, *map(str.strip, line.split("|"))]
        else:
            group = line


def _rows() -> Iterator[Setting]:
    """The rows of `settings.txt`: name, or ours and AWS's | default | what it says of a hop | meaning.

    The default of the token file is where the EKS webhook projects it.
    """
    for group, names, default, hop, meaning in table(Path(__file__).with_suffix(".txt")):
        name, _, aws = names.partition(" ")
        key, parse = PARAMETERS.get(hop, ("", FORMS.get(name, str)))
        said = Setting(name=name, aws=aws, default=default, hop=hop, key=key, meaning=meaning, group=group, parse=parse)
        yield replace(said, is_secret=name == _SECRET, has_flag=name not in (_SECRET, "AWS_ENDPOINT_URL_STS"))


SETTINGS = tuple(_rows())


def pick(*names: str) -> tuple[Setting, ...]:
    """The settings of those names and groups, in the order of the table."""
    return tuple(setting for setting in SETTINGS if {setting.name, setting.group} & {*names})
