"""Files in directories of ours: no link is followed, and readers see the old one or the new one whole."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe that somebody put there must not hold the start up.
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


# An owner, uid and gid: as chown has it, the one that a new file has by itself.
OURS = (-1, -1)


class Foreign(ValueError):
    """What is there is not ours to use or to replace; the text says why and quotes nothing of it."""


def make(path: str) -> None:
    """Makes the directory and those above it where they are missing, for every uid to look into, whatever the umask."""
    above = os.path.dirname(path)
    if above and not os.path.isdir(above):
        make(above)
    with suppress(FileExistsError):
        os.mkdir(path)
        # Who may look is decided by who mounts it; below a volume with an fsGroup the group is inherited by this bit.
        os.chmod(path, 0o755 | os.stat(path).st_mode & stat.S_ISGID)  # noqa: S103 -- as the line above says


def obstacle(error: OSError) -> tuple[str, str] | None:
    """What is wrong and the remedy, where something that is no directory of ours stands in the way."""
    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
        return None
    wrong = "a symbolic link, or something that is no directory, stands in its way"
    return wrong, "Remove it: the sidecar follows no link here."


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The directory at `path`, for the functions below."""
    folder = os.open(path, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


def read(folder: int, name: str, most: int) -> bytes | None:
    """The first `most` bytes of the file `name`; None where nothing is, Foreign where it is no file."""
    try:
        number = os.open(name, _OLD, dir_fd=folder)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Foreign("it is not a regular file")
    with open(number, "rb") as file:
        return file.read(most)


def write(folder: int, name: str, data: bytes, mode: int, owner: tuple[int, int] = OURS) -> None:
    """Puts `data` at `name`, whole and on disk, with `mode` whatever the umask; `owner`: uid and gid, -1 for ours."""
    temporary = f".{name}.new"
    with suppress(FileNotFoundError):  # what a killed predecessor left
        os.unlink(temporary, dir_fd=folder)
    with open(os.open(temporary, _NEW, mode, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
