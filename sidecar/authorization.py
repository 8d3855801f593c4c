"""The authorization tokens in the file system: `<directory>/<target>/token`, what workloads show to be served.

In a pod each target's directory is a volume that is mounted read-only into the containers meant to have that target.
A well-formed file that is there is reused for ever, since some clients read it once: it is replaced neither by a
restarted sidecar nor by a new random value. What is there and is no token is an error rather than overwritten: it is
somebody else's file, or a link to one.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence

from sidecar import files
from sidecar.errors import ConfigError
from sidecar.model import Secret

# Safe in a header, a URL and a shell; 16 of them are 96 bits.
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}", re.ASCII)
# Every uid of the pod reads it: who may is decided by who mounts the directory.
MODE = 0o444
SETTING = "SIDECAR_AUTHORIZATION_DIR"
_FILE = "token"
NONE = "it is not an authorization token: at least 16 of A-Z a-z 0-9 . _ ~ -, without a newline"
# A token that is longer than this fits no header.
_LONGEST = 4096
_UNWRITABLE = (
    "Mount a directory there that uid {uid} may write (an in-memory emptyDir), or set SIDECAR_AUTHORIZATION=none."
)


def provide(
    directory: str, targets: Sequence[str], random_token: Callable[[], str], source: str, given: Secret | None = None
) -> Mapping[str, Secret]:
    """The authorization token of every target by name, each written where it is not there yet.

    `given` is the first target's value, instead of a random one; `source` says where the directory's setting is from.
    Raises ConfigError with the remedy where a file cannot be written or is not what it should be.
    """
    wanted = {targets[0]: given}
    return {name: _provided(os.path.join(directory, name), wanted.get(name), random_token, source) for name in targets}


def _provided(folder: str, given: Secret | None, random_token: Callable[[], str], source: str) -> Secret:
    try:
        files.make(folder)
        with files.opened(folder) as opened:
            return _held_or_written(opened, given, random_token)
    except files.Foreign as error:
        wrong, remedy = str(error), "Remove the file, or give the sidecar another directory."
    except OSError as error:
        wrong = f"the authorization token cannot be written: {(error.strerror or str(error)).lower()}"
        remedy = _UNWRITABLE.format(uid=os.geteuid())
        wrong, remedy = files.obstacle(error) or (wrong, remedy)
    value = os.path.join(folder, _FILE)
    raise ConfigError.of(SETTING, value, source, wrong, remedy)


def _held_or_written(folder: int, given: Secret | None, random_token: Callable[[], str]) -> Secret:
    data = files.read(folder, _FILE, _LONGEST + 1)
    if data is None:
        token = given or Secret(random_token())
        files.write(folder, _FILE, token.reveal().encode("ascii"), MODE)
        return token
    held = data.decode("ascii", "replace")
    if len(held) > _LONGEST or not TOKEN.fullmatch(held):
        raise files.Foreign(NONE)
    if given is not None and given != Secret(held):
        raise files.Foreign("it holds another value than SIDECAR_AUTHORIZATION_TOKEN, and clients may have read it")
    return Secret(held)
