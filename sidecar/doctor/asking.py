"""The credential endpoint, as a client finds it: over loopback, with an authorization token or without."""

from contextlib import suppress
from datetime import datetime

from sidecar.client import UNANSWERED, fetch
from sidecar.doctor.facts import Listener, Served
from sidecar.model import Secret
from sidecar.settings import Address

_REFUSAL = {"code", "message", "Code", "Message"}
# Longer than workloads wait: what is only slow, on a busy node, is not called another's.
_SECONDS = 10.0


def listener(listen: Address) -> Listener:
    """Who answers there: ours refuses in its own form, or serves whoever asks."""
    try:
        document = fetch(listen, "/v1/credentials", None, _SECONDS)[1]
    except ConnectionRefusedError:
        return Listener.NOBODY
    except UNANSWERED:
        return Listener.FOREIGN
    is_ours = document.keys() >= _REFUSAL or document.keys() >= {"AccessKeyId", "Expiration"}
    return Listener.OURS if is_ours else Listener.FOREIGN


def served(listen: Address, path: str, token: Secret | None) -> Served:
    """What is answered at `path` to whoever shows `token`; of the credentials only their end is kept."""
    try:
        status, document = fetch(listen, path, None if token is None else token.reveal().strip(), _SECONDS)
    except UNANSWERED as error:
        return Served(status=0, code=type(error).__name__)
    expiration = None
    with suppress(ValueError, TypeError, AttributeError):
        expiration = datetime.fromisoformat(document["Expiration"]).timestamp() if status == 200 else None
    code = "" if status == 200 else str(document.get("code", ""))
    return Served(status=status, code=code[:64], expiration=expiration)
