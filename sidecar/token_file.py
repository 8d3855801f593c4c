"""The projected token on disk, polled: kubelet swaps a symlink, and polling survives that, suspend and clock steps."""

import os
import stat
from dataclasses import dataclass

from sidecar.errors import TokenError, TokenTrouble
from sidecar.model import Token
from sidecar.tokens import LONGEST, decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one look at a token file found: the last good token, if there ever was one, and what is wrong now.

    A malformed or half-written file keeps the last good token; a missing or unreadable one does too, since the
    token's own expiration is what ends it.
    """

    token: Token | None = None
    error: TokenError | None = None

    def is_news_after(self, before: "Reading") -> bool:
        """Whether this look found something that the one before did not."""
        return self.token != before.token or str(self.error) != str(before.error)


def read(path: str, before: Reading) -> Reading:
    """One look at the token file at `path`, which keeps what is still good of the look `before`."""
    try:
        text = _text(path)
        if before.token and not before.error and text.strip() == before.token.value.reveal():
            return before
        return Reading(token=decode(text, path))
    except TokenError as error:
        return Reading(token=before.token, error=error.with_traceback(None))


def _text(path: str) -> str:
    try:
        # Without waiting for who writes into a pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise TokenError(TokenTrouble.UNREADABLE, path, "it is no regular file")
            # One byte more than is legal, so that a longer file is seen as too long without being read whole.
            return file.read(LONGEST + 2).decode("ascii")
    except (FileNotFoundError, NotADirectoryError):
        detail = "no such file; is the token projected into this container, at this path, without subPath?"
        raise TokenError(TokenTrouble.MISSING, path, detail) from None
    except IsADirectoryError:
        raise TokenError(TokenTrouble.UNREADABLE, path, "it is a directory; name the token's file in it") from None
    except PermissionError:
        raise TokenError(TokenTrouble.UNREADABLE, path, _who_may(path)) from None
    except OSError as error:
        raise TokenError(TokenTrouble.UNREADABLE, path, error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        raise TokenError(TokenTrouble.MALFORMED, path, "not ASCII text, so not a JSON Web Token") from None


def _who_may(path: str) -> str:
    who = f"uid {os.geteuid()}, gid {os.getegid()} may not read it"
    fix = "set securityContext.fsGroup on the pod to a group of the sidecar, or run it as the owner"
    try:
        seen = os.stat(path)
    except OSError:
        return f"{who}: a directory above it is closed to them; {fix}"
    mode = stat.S_IMODE(seen.st_mode)
    return f"{who}: mode {mode:04o}, owner {seen.st_uid}:{seen.st_gid}; {fix}"
