"""Credentials as programs take them: the endpoint's document, `credential_process`'s, and shell lines."""

import json
import shlex
from collections.abc import Mapping
from datetime import UTC
from enum import StrEnum

from sidecar.model import Session

Document = Mapping[str, str]

# What `aws configure export-credentials --format env` calls the fields of the document.
_VARIABLES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "Token": "AWS_SESSION_TOKEN",
    "Expiration": "AWS_CREDENTIAL_EXPIRATION",
}


class Form(StrEnum):
    """In which shape `once` and `get` print credentials."""

    JSON = "json"
    PROCESS = "credential-process"
    ENV = "env"


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


def render(fields: Document, form: Form) -> str:
    """The endpoint's document `fields` in the shape asked for, without a line end."""
    if form is Form.ENV:
        return "\n".join(f"export {name}={shlex.quote(fields[field])}" for field, name in _VARIABLES.items())
    if form is Form.JSON:
        return json.dumps(fields, indent=2)
    renamed = {"SessionToken" if name == "Token" else name: value for name, value in fields.items()}
    return json.dumps({"Version": 1, **renamed}, indent=2)
