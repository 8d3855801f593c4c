"""What lies on disk: the projected token and what it is mounted by, authorization tokens, a workload's environment."""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.doctor.facts import Seen, TokenFile, TokenHeld, Workload
from sidecar.errors import ConfigError
from sidecar.model import Secret, Token
from sidecar.token_file import Reading, read

# The directories that kubelet writes projections into and swaps by the link `..data`.
_TIMESTAMPED = re.compile(r"/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+(/|$)")
# Longer than any authorization token that fits a header.
_LONGEST = 8_192
_NAME = r"[a-z0-9][a-z0-9.-]{0,252}"
_ENVIRON_LONGEST = 4_194_304  # above what Linux hands to a program (ARG_MAX and its strings)


def token_file(path: str, mounts: str = "/proc/self/mountinfo") -> TokenFile:
    """What there is at `path`."""
    seen, dangling = _seen(path), None
    if os.path.islink(path) and not os.path.exists(path):
        dangling = os.readlink(path)
    reading = read(path, Reading())
    said = _payload(reading.token) if reading.token else {}
    issued = _issued(said, reading.token.claims.expiration) if reading.token else None
    pinned, pod = _pinned(path, mounts), _pod(said)
    return TokenFile(path=path, reading=reading, seen=seen, dangling=dangling, pinned=pinned, issued=issued, pod=pod)


def authorization(path: str, root: str = "/") -> TokenHeld:
    """The authorization token at `path`, as a process sees it whose `/` is `root`."""
    place = os.path.join(root, path.lstrip("/"))
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(_LONGEST).decode("ascii", "replace")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return TokenHeld(path=path, seen=_seen(place, root), value=None, error=reason)
    return TokenHeld(path=path, seen=_seen(place, root), value=Secret(text))


def container(pid: int | None, file: str | None) -> Workload | None:
    """The workload that runs as `pid`, or whose environment is in `file`; None where neither is said."""
    if pid is not None:
        return process(pid)
    return None if file is None else environ_file(file)


def process(pid: int, proc: str = "/proc") -> Workload:
    """The workload that runs as `pid`; raises ConfigError where it may not be looked at."""
    home = Path(proc, str(pid))
    try:
        environ = (home / "environ").read_bytes()
        status = (home / "status").read_text("utf-8", "replace")  # a program calls itself what it likes
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    except OSError as error:
        wrong = f"its environment cannot be read: {(error.strerror or '').lower()}"
        remedy = "Look from its own container, or as its user with shareProcessNamespace; or give --environ."
        raise ConfigError.of("--pid", str(pid), "flag --pid", wrong, remedy) from None
    groups = frozenset(map(int, [*fields["Groups"].split(), fields["Gid"].split()[1]]))
    uid = int(fields["Uid"].split()[1])
    return Workload(environ=_variables(environ), uid=uid, groups=groups, root=str(home / "root"))


def environ_file(path: str) -> Workload:
    """The workload whose environment is in a file, as `env` prints it or as `/proc/PID/environ` has it."""
    try:
        with open(path, "rb") as file:
            environ, wrong = _variables(file.read(_ENVIRON_LONGEST)), "there is no variable in it"
    except OSError as error:
        environ, wrong = {}, (error.strerror or "").lower()
    if not environ:
        remedy = "Write it with `kubectl -n NS exec POD --container WORKLOAD -- env > FILE`."
        raise ConfigError.of("--environ", path, "flag --environ", wrong, remedy)
    return Workload(environ=environ)


def _variables(data: bytes) -> dict[str, str]:
    text = data.decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.split("\0" if "\0" in text else "\n"))
    return {name: value for name, equals, value in pairs if equals}


def _seen(path: str, root: str = "/") -> Seen | None:
    """What is at `path`, with what is above it: all that a process goes through whose `/` is `root`, or the nearest
    directory alone, since a container that mounts that one goes another way."""
    try:
        above = [*Path(path).parents]
        within = [each for each in above if Path(root) in (each, *each.parents)] if root != "/" else above[:1]
        return replace(_stat(path), above=tuple(_stat(str(each)) for each in reversed(within)))
    except OSError:
        return None


def _stat(path: str) -> Seen:
    found = os.stat(path)
    mode, regular = stat.S_IMODE(found.st_mode), stat.S_ISREG(found.st_mode)
    return Seen(path=path, mode=mode, uid=found.st_uid, gid=found.st_gid, is_regular=regular)


def _payload(token: Token) -> Mapping[str, Any]:
    payload = token.value.reveal().split(".")[1]
    said: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said


def _issued(said: Mapping[str, Any], expiration: float) -> float | None:
    issued = said.get("iat")
    return float(issued) if isinstance(issued, int | float) and 0 <= issued < expiration else None


def _pod(said: Mapping[str, Any]) -> tuple[str, str] | None:
    """Namespace and name, as Kubernetes writes such: they go into commands."""
    with suppress(LookupError, TypeError):
        place = said["kubernetes.io"]["namespace"], said["kubernetes.io"]["pod"]["name"]
        return place if all(re.fullmatch(_NAME, each) for each in place) else None
    return None


def _pinned(path: str, mounts: str) -> str | None:
    """The root of the mount that shows what is at `path`, where that is one file or one timestamped directory."""
    real = os.path.realpath(path)
    for root, point in _mounts(mounts):
        if point in (path, real) or (f"{real}/".startswith(f"{point}/") and _TIMESTAMPED.search(root)):
            return root
    return None


def _mounts(mounts: str) -> Iterator[tuple[str, str]]:
    """Root and mount point of every mount, the latest first."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return  # not a Linux
    for line in reversed(lines):
        root, point = (re.sub(r"\\([0-7]{3})", _unescaped, field) for field in line.split(" ")[3:5])
        yield root, point


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))
