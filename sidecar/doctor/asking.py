"""The credential endpoint, as a client finds it: over loopback, with an authorization token or without."""

import json
from contextlib import closing, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from sidecar.doctor.facts import Listener, Served
from sidecar.model import Secret
from sidecar.settings import Address

# What most SDKs give the endpoint.
_SECONDS = 2.0
_LONGEST = 65_536
_REFUSAL = {"code", "message", "Code", "Message"}


def listener(listen: Address) -> Listener:
    """Who answers there: ours refuses in its own form, or serves whoever asks."""
    try:
        document = _asked(listen, "/v1/credentials", None)[1]
    except ConnectionRefusedError:
        return Listener.NOBODY
    except (OSError, HTTPException, ValueError):
        return Listener.FOREIGN
    is_ours = document.keys() >= _REFUSAL or document.keys() >= {"AccessKeyId", "Expiration"}
    return Listener.OURS if is_ours else Listener.FOREIGN


def served(listen: Address, path: str, token: Secret | None) -> Served:
    """What is answered at `path` to whoever shows `token`; of the credentials only their end is kept."""
    try:
        status, document = _asked(listen, path, token)
    except (OSError, HTTPException, ValueError) as error:
        return Served(status=0, code=type(error).__name__)
    expiration = None
    with suppress(ValueError, TypeError, AttributeError):
        expiration = datetime.fromisoformat(document["Expiration"]).timestamp() if status == 200 else None
    except_code = "" if status == 200 else str(document.get("code", ""))
    return Served(status=status, code=except_code[:64], expiration=expiration)


def _asked(listen: Address, path: str, token: Secret | None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": token.reveal().strip()} if token else {}
    with closing(HTTPConnection(listen.host, listen.port, timeout=_SECONDS)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        document = json.loads(response.read(_LONGEST))
    if not isinstance(document, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 -- as json.loads has it for what is no JSON
    return response.status, document
