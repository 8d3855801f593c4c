"""Files that others read while they are written: a new one beside the old, then a rename, and no link followed."""

from __future__ import annotations

import os
from contextlib import suppress

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(folder: int, name: str, data: bytes, mode: int) -> None:
    """Puts `data` at `name` in the open directory `folder`, whole and on disk, with `mode` whatever the umask."""
    temporary = f".{name}.new"
    with suppress(FileNotFoundError):  # what a killed predecessor left
        os.unlink(temporary, dir_fd=folder)
    with open(os.open(temporary, _NEW_FLAGS, mode, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
