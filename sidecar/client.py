"""Asks the running daemon for credentials as any workload does: over loopback, with the authorization token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from sidecar.authorization import TOKEN
from sidecar.config import Authorization, Client
from sidecar.errors import SidecarError
from sidecar.formats import Document

# The endpoint answers from memory, or after 0.8 s at the latest: two seconds is what most SDKs give it.
_SECONDS = 2.0
# The endpoint's answers stay under 10,000 bytes.
_LONGEST = 65_536
_FIELDS = frozenset({"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"})


class ClientError(SidecarError):
    """The daemon could not be asked, or had nothing to give; the sentence says which setting to look at."""


def ask(client: Client) -> Document:
    """The container-credentials document of the client's target. Raises ClientError with the remedy."""
    headers = {"Accept": "application/json"}
    if client.authorization is Authorization.TOKEN:
        headers["Authorization"] = _token(client)
    connection = HTTPConnection(client.listen.host, client.listen.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"/v1/credentials/{client.target}", headers=headers)
        response = connection.getresponse()
        return _document(client, response.status, response.read(_LONGEST))
    except (OSError, HTTPException) as error:
        raise ClientError(
            f"nobody answers on {client.listen} ({getattr(error, 'strerror', None) or type(error).__name__}): is "
            "the sidecar running in this pod, with this SIDECAR_LISTEN?"
        ) from None
    finally:
        connection.close()


def _token(client: Client) -> str:
    path = Path(client.authorization_dir, client.target, "token")
    try:
        token = path.read_text("ascii").rstrip("\r\n")
    except FileNotFoundError:
        raise ClientError(f"there is no {path}: {_instead(client)}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ClientError(f"{path} cannot be read: {reason}. Look at SIDECAR_AUTHORIZATION_DIR") from None
    if not TOKEN.fullmatch(token):
        raise ClientError(f"{path} holds no authorization token: is SIDECAR_AUTHORIZATION_DIR the sidecar's?")
    return token


def _instead(client: Client) -> str:
    """Where the token may be instead: another target's name, or another directory."""
    try:
        targets = sorted(entry.name for entry in Path(client.authorization_dir).iterdir() if entry.is_dir())
    except OSError:
        targets = []
    if targets:
        return f"the targets there are {', '.join(targets)}; say one with --target"
    return "mount the sidecar's volume here, or set SIDECAR_AUTHORIZATION_DIR to where it is"


def _document(client: Client, status: int, body: bytes) -> Document:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, Mapping):
        raise ClientError(f"what listens on {client.listen} is no credential-sidecar: look at SIDECAR_LISTEN")
    if status == HTTPStatus.OK and answer.keys() >= _FIELDS:
        return {name: str(answer[name]) for name in answer}
    hint = _HINTS.get(status, "The sidecar's log has more.")
    raise ClientError(
        f"the sidecar has no credentials of {client.target} to give ({status} {answer.get('code')}): "
        f"{answer.get('message')} {hint}"
    )


_HINTS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Look at SIDECAR_AUTHORIZATION_DIR.",
    HTTPStatus.NOT_FOUND: "Say another target with --target.",
}
