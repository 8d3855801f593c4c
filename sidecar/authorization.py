"""The authorization tokens in the file system: `<directory>/<target>/token`, what workloads show to be served.

In a pod each target's directory is a volume that is mounted read-only into the containers meant to have that target.
A well-formed file that is there is reused for ever, since some clients read it once: it is replaced neither by a
restarted sidecar nor by a new random value. What is there and is no token is an error rather than overwritten: it is
somebody else's file, or a link to one.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sidecar import files
from sidecar.errors import ConfigError, Problem
from sidecar.model import Secret

# Safe in a header, a URL and a shell; 16 of them are 96 bits.
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}", re.ASCII)
# Every uid of the pod reads it: who may is decided by who mounts the directory.
MODE = 0o444
SETTING = "SIDECAR_AUTHORIZATION_DIR"
_FILE = "token"
# A token that is longer than this fits no header.
_LONGEST = 4096


def provide(
    directory: str, targets: Sequence[str], *, random_token: Callable[[], str], source: str, given: Secret | None = None
) -> Mapping[str, Secret]:
    """The authorization token of every target by name, each written where it is not there yet.

    `given` is the first target's value, instead of a random one; `source` says where the directory's setting is from.
    Raises ConfigError with the remedy where a file cannot be written or is not what it should be.
    """
    wanted = {name: given if index == 0 else None for index, name in enumerate(targets)}
    return {
        name: _provided(os.path.join(directory, name), value, random_token, source) for name, value in wanted.items()
    }


def _provided(folder: str, given: Secret | None, random_token: Callable[[], str], source: str) -> Secret:
    path = os.path.join(folder, _FILE)
    try:
        with suppress(FileExistsError):
            os.makedirs(folder, 0o755)
        opened = os.open(folder, files.FOLDER_FLAGS)
        try:
            return _held_or_written(opened, given, random_token)
        finally:
            os.close(opened)
    except _Foreign as error:
        raise _problem(path, source, str(error), "Remove the file, or give the sidecar another directory.") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            wrong = "a symbolic link, or something that is no directory, stands in its way"
            raise _problem(path, source, wrong, "Remove it: the sidecar follows no link here.") from None
        wrong = f"the authorization token cannot be written: {(error.strerror or str(error)).lower()}"
        remedy = (
            f"Mount a directory there that uid {os.geteuid()} may write (an in-memory emptyDir), "
            "or point the setting to one; SIDECAR_AUTHORIZATION=none serves everybody in the pod."
        )
        raise _problem(path, source, wrong, remedy) from None


class _Foreign(Exception):
    """What is there is not ours to use or to replace."""


def _held_or_written(folder: int, given: Secret | None, random_token: Callable[[], str]) -> Secret:
    held = _read(folder)
    if held is not None and given is not None and held != given:
        raise _Foreign("it holds another value than SIDECAR_AUTHORIZATION_TOKEN gives, which clients may have read")
    if held is not None:
        return held
    token = given or Secret(random_token())
    files.write(folder, _FILE, token.reveal().encode("ascii"), MODE)
    return token


def _read(folder: int) -> Secret | None:
    """The token that is there; None where nothing is."""
    try:
        # O_NONBLOCK: a pipe that somebody put there must not hold the start up.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened = os.open(_FILE, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise _Foreign("it is not a regular file")
    with open(opened, "rb") as file:
        text = file.read(_LONGEST + 1).decode("ascii", "replace")
    if len(text) > _LONGEST or not TOKEN.fullmatch(text):
        raise _Foreign("it is not an authorization token: at least 16 of A-Z a-z 0-9 . _ ~ -, without a newline")
    return Secret(text)


def _problem(path: str, source: str, wrong: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(setting=SETTING, value=path, source=source, wrong=wrong, remedy=remedy)])
