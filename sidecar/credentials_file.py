"""AWS's shared credentials file, for programs that know nothing else: a mirror of what the endpoint would serve.

A section for each target, replaced whole at every refresh; a target that could not be served has none, so that an
expired session does not outlive its end here. Every two seconds the mirror is held against the ledger and the file
against the mirror: a write that failed is tried again, an end comes by itself, and a file that was removed comes back.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar import files
from sidecar.errors import ConfigError
from sidecar.events import CredentialsFileFailed, CredentialsFileWritten, Observe
from sidecar.formats import document, section
from sidecar.ledger import Ledger
from sidecar.model import Target

SETTING = "SIDECAR_CREDENTIALS_FILE"
# As often as the token is read: an end, or a full disk that has room again, is seen as soon as a new token.
TICK = 2.0
_MARK = "# credential-sidecar replaces this file at every refresh: do not edit it.\n"
_UNWRITABLE = "Mount a directory there that uid {uid} may write (an in-memory emptyDir)."
_UNOWNABLE = "Only root gives files away; a group must be one of the sidecar's (fsGroup). Or unset {setting}_OWNER."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the file is, its permission bits, who owns it (uid and gid, -1: unchanged), and what says so."""

    path: str
    mode: int
    owner: tuple[int, int]
    source: str


class CredentialsFile:
    """Keeps the file at `place` the mirror of what is held for `targets`; `clock` gives the sidecar's own seconds."""

    tick = TICK

    def __init__(self, place: Place, targets: Sequence[Target], clock: Callable[[], float], observe: Observe) -> None:
        self._place, self._targets, self._clock, self._observe = place, tuple(targets), clock, observe
        self._ledger = Ledger()
        self._written, self._reason = "", ""
        self._left: tuple[int, ...] | None = None  # what the file looked like when we left it

    def begin(self, ledger: Ledger) -> None:
        """Write it for the first time; raises ConfigError with the remedy where that cannot be."""
        try:
            files.make(os.path.dirname(self._place.path))
            self._write(self._mirror(ledger))
        except files.Foreign as error:
            raise self._problem(str(error), "Name another path, or remove the file.") from None
        except OSError as error:
            wrong, remedy = f"it cannot be written: {_reason(error)}", _UNWRITABLE.format(uid=os.geteuid())
            if isinstance(error, PermissionError) and self._place.owner != files.OURS:
                remedy = f"{remedy} {_UNOWNABLE.format(setting=SETTING)}"
            raise self._problem(*(files.obstacle(error) or (wrong, remedy))) from None
        self._ledger = ledger

    def publish(self, ledger: Ledger) -> None:
        """From now on mirror `ledger`."""
        self._ledger = ledger
        self._look()

    async def run(self) -> None:
        """Looks whether it is still the mirror, until cancelled."""
        while True:
            await asyncio.sleep(self.tick)
            self._look()

    def _look(self) -> None:
        """Write what is not there; a failure is told once, and its end."""
        text = self._mirror(self._ledger)
        if text == self._written and self._seen() == self._left:
            return
        try:
            self._write(text)
        except (files.Foreign, OSError) as error:
            reason = str(error) if isinstance(error, files.Foreign) else _reason(error)
            if reason != self._reason:
                self._observe(CredentialsFileFailed(path=self._place.path, reason=reason))
            self._reason = reason
            return
        if self._reason:
            self._reason = ""
            self._observe(CredentialsFileWritten(path=self._place.path))

    def _mirror(self, ledger: Ledger) -> str:
        now, held = self._clock(), [(target.name, ledger.of(target.hop)) for target in self._targets]
        alive = ((name, each.session) for name, each in held if each.schedule.is_alive(now) and each.session)
        return _MARK + "".join(section(name, document(session)) for name, session in alive)

    def _write(self, text: str) -> None:
        """Replace the file, unless it is somebody else's: one that we did not leave there begins as ours do."""
        folder, name = os.path.split(self._place.path)
        with files.opened(folder) as opened:
            if self._seen() != self._left and not _is_ours(opened, name):
                raise files.Foreign("there is a file that the sidecar did not write")
            files.write(opened, name, text.encode("ascii"), self._place.mode, self._place.owner)
        self._written, self._left = text, self._seen()

    def _seen(self) -> tuple[int, ...] | None:
        """What tells the file that is there from any other; None where there is none."""
        try:
            found = os.lstat(self._place.path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _problem(self, wrong: str, remedy: str) -> ConfigError:
        return ConfigError.of(SETTING, self._place.path, self._place.source, wrong, remedy)


def _is_ours(folder: int, name: str) -> bool:
    try:
        held = files.read(folder, name, len(_MARK))
    except PermissionError:
        raise files.Foreign(
            "the file that is there cannot be read back: let a group of the sidecar's read it"
        ) from None
    return not held or held == _MARK.encode()


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
