"""Credentials as programs take them: the endpoint's document, `credential_process`'s, and shell lines."""

import json
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC

from sidecar.model import Session

Document = Mapping[str, str]

# What `aws configure export-credentials --format env` calls the fields of the document.
_VARIABLES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "Token": "AWS_SESSION_TOKEN",
    "Expiration": "AWS_CREDENTIAL_EXPIRATION",
}


def document(session: Session) -> Document:
    """The five fields of the container-credentials document, in whole seconds of UTC; secrets among them."""
    held = session.credentials
    return {
        "AccessKeyId": held.access_key_id,
        "SecretAccessKey": held.secret_access_key.reveal(),
        "Token": held.session_token.reveal(),
        "Expiration": held.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "AccountId": session.identity.account,
    }


def _process(fields: Document) -> str:
    renamed = {"SessionToken" if name == "Token" else name: value for name, value in fields.items()}
    return json.dumps({"Version": 1, **renamed}, indent=2)


# In which shapes `once` and `get` print the endpoint's document, without a line end.
FORMS: Mapping[str, Callable[[Document], str]] = {
    "json": lambda fields: json.dumps(fields, indent=2),
    "credential-process": _process,
    "env": lambda fields: "\n".join(f"export {name}={shlex.quote(fields[key])}" for key, name in _VARIABLES.items()),
}
