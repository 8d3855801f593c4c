"""Asks the running daemon for credentials as any workload does: over loopback, with the authorization token."""

import json
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from sidecar.authorization import TOKEN
from sidecar.config import Authorization, Client
from sidecar.errors import ClientError
from sidecar.formats import Document

# The endpoint answers from memory, or after 0.8 s at the latest: two seconds is what most SDKs give it.
_SECONDS = 2.0
# The endpoint's answers stay under 10,000 bytes.
_LONGEST = 65_536
_FIELDS = {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"}
_HINTS = {401: "Look at SIDECAR_AUTHORIZATION_DIR.", 404: "Say another target with --target."}


def ask(client: Client) -> Document:
    """The container-credentials document of the client's target. Raises ClientError with the remedy."""
    headers = {"Authorization": _token(client)} if client.authorization is Authorization.TOKEN else {}
    answer: Any = None
    try:
        with closing(HTTPConnection(client.listen.host, client.listen.port, timeout=_SECONDS)) as connection:
            connection.request("GET", f"/v1/credentials/{client.target}", headers=headers)
            response = connection.getresponse()
            with suppress(ValueError):
                answer = json.loads(response.read(_LONGEST))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        asked = "is the sidecar running in this pod, with this SIDECAR_LISTEN?"
        raise ClientError(f"nobody answers on {client.listen} ({reason}): {asked}") from None
    if not isinstance(answer, dict):
        raise ClientError(f"what listens on {client.listen} is no credential-sidecar: look at SIDECAR_LISTEN")
    if response.status != 200 or not answer.keys() >= _FIELDS:
        refused = f"the sidecar has no credentials of {client.target} to give ({response.status} {answer.get('code')})"
        hint = _HINTS.get(response.status, "The sidecar's log has more.")
        raise ClientError(f"{refused}: {answer.get('message')} {hint}")
    return {name: str(value) for name, value in answer.items()}


def _token(client: Client) -> str:
    path = Path(client.authorization_dir, client.target, "token")
    try:
        token = path.read_text("ascii", "replace").rstrip("\r\n")
    except FileNotFoundError:
        targets = ", ".join(sorted(each.name for each in Path(client.authorization_dir).glob("*/")))
        there = f"the targets there are {targets}; say one with --target"
        elsewhere = "mount the sidecar's volume here, or set SIDECAR_AUTHORIZATION_DIR to where it is"
        raise ClientError(f"there is no {path}: {there if targets else elsewhere}") from None
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}. Look at SIDECAR_AUTHORIZATION_DIR") from None
    if not TOKEN.fullmatch(token):
        raise ClientError(f"{path} holds no authorization token: is SIDECAR_AUTHORIZATION_DIR the sidecar's?")
    return token
