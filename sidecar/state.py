"""The state directory: what is held, kept over a restart of the sidecar in memory that only the sidecar mounts.

kubelet makes an `emptyDir` 0777 and root-owned, so the file lives in a 0700 directory of our own making below it; its
owner and mode are checked, and no link is followed. Losing the state costs two STS calls, so trouble with it is
reported and never ends the daemon.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from sidecar import files
from sidecar.archive import dump, load
from sidecar.events import Observe, StateIgnored, StateRestored
from sidecar.ledger import Ledger
from sidecar.model import Target

_DIRECTORY, _FILE = "credential-sidecar", "sessions.json"
# A session is about 2 kB; a directory of somebody else's making is not read into memory whole.
_LARGEST = 4 * 1024 * 1024


class State:
    """The sessions on disk under `directory`; `boot` names the boot whose clock the instants are of."""

    def __init__(self, directory: str, *, boot: str, observe: Observe) -> None:
        self._path = os.path.join(directory, _DIRECTORY)
        self._boot, self._observe = boot, observe
        self._written: bytes | None = None
        self._reason = ""

    def restore(self, targets: Iterable[Target], now: float) -> Ledger:
        """What was held when the sidecar ended, as far as it still lives; an empty ledger where that is nothing."""
        try:
            with self._opened() as folder:
                data = files.read(folder, _FILE, _LARGEST)
            if data is None:
                return Ledger()
            ledger, written = load(data, targets, self._boot, now)
        except (OSError, ValueError) as error:
            self._ignore(error)
            return Ledger()
        self._observe(StateRestored(hops=len(ledger.held), written=written))
        return ledger

    def keep(self, ledger: Ledger) -> None:
        """Writes what `ledger` holds, if it is not what was written last."""
        data = dump(ledger, self._boot)
        if data == self._written:
            return
        try:
            with self._opened() as folder:
                files.write(folder, _FILE, data, 0o600)
            self._written, self._reason = data, ""
        except (OSError, ValueError) as error:
            self._ignore(error)

    def _ignore(self, error: OSError | ValueError) -> None:
        reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
        if reason != self._reason:
            self._reason = reason
            self._observe(StateIgnored(path=self._path, reason=reason))

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Our directory: ours alone, and a directory rather than a link to one."""
        with suppress(FileExistsError):
            os.mkdir(self._path, 0o700)
        with files.opened(self._path) as folder:
            seen = os.fstat(folder)
            # The permission bits alone: below a volume with an fsGroup, directories inherit the setgid bit.
            if seen.st_uid != os.geteuid() or seen.st_mode & 0o777 != 0o700:
                raise files.Foreign("the directory is not the sidecar's alone: it must be its own, with mode 0700")
            yield folder
