"""Asks the running daemon for credentials as any workload does: over loopback, with the authorization token."""

import json
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from sidecar.authorization import TOKEN
from sidecar.errors import ClientError, NotYet
from sidecar.formats import Document
from sidecar.settings import Address

# The endpoint answers from memory, or after 0.8 s at the latest: two seconds is what most SDKs give it.
SECONDS = 2.0
# The endpoint's answers stay under 10,000 bytes.
_LONGEST = 65_536
# What is raised where nobody answers, or nobody who speaks as the endpoint does.
UNANSWERED = (OSError, HTTPException, ValueError, TypeError, RecursionError)
_FIELDS = {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"}


def ask(target: str, listen: Address, directory: str | None) -> Document:
    """The container-credentials document of `target`. Raises ClientError with the remedy, NotYet while it may come.

    `directory` holds the authorization tokens; None where the daemon asks for none.
    """
    token = _token(Path(directory, target, "token")) if directory else None
    try:
        status, answer = fetch(listen, f"/v1/credentials/{target}", token)
    except UNANSWERED as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        asked, kind = "is it running in this pod, with this SIDECAR_LISTEN?", _kind(isinstance(error, OSError))
        raise kind(f"no credential-sidecar answers on {listen} ({reason}): {asked}") from None
    if status != 200 or not answer.keys() >= _FIELDS:
        refused = f"the sidecar gives no credentials of {target} ({status} {answer.get('code')})"
        hint = "Look at --target, SIDECAR_AUTHORIZATION_DIR and the sidecar's log."
        raise _kind(status == 503)(f"{refused}: {answer.get('message')} {hint}")
    return {name: str(value) for name, value in answer.items()}


def fetch(listen: Address, path: str, token: str | None, seconds: float = SECONDS) -> tuple[int, dict[str, Any]]:
    """Status and document of the answer at `path` to whoever shows `token`, or none. Raises one of `UNANSWERED`."""
    headers = {} if token is None else {"Authorization": token}
    with closing(HTTPConnection(listen.host, listen.port, timeout=seconds)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        document = json.loads(response.read(_LONGEST))
    if not isinstance(document, dict):
        raise TypeError("no JSON object")
    return response.status, document


def _kind(may_come: bool) -> type[ClientError]:
    return NotYet if may_come else ClientError


def _token(path: Path) -> str:
    where = "are --target and SIDECAR_AUTHORIZATION_DIR the sidecar's?"
    try:
        token = path.read_text("ascii", "replace").rstrip("\r\n")
    except OSError as error:
        kind = _kind(isinstance(error, FileNotFoundError))  # the daemon writes it before it listens
        raise kind(f"{path} cannot be read: {error.strerror}; {where}") from None
    if not TOKEN.fullmatch(token):
        raise ClientError(f"{path} holds no authorization token; {where}")
    return token
