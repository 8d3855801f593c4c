"""Credentials as programs take them: the endpoint's document, `credential_process`'s, and shell lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC
from enum import StrEnum

from sidecar.model import Session

Document = Mapping[str, str]


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
    match form:
        case Form.JSON:
            return json.dumps(fields, indent=2)
        case Form.PROCESS:
            renamed = {"SessionToken" if name == "Token" else name: value for name, value in fields.items()}
            return json.dumps({"Version": 1, **renamed}, indent=2)
        case Form.ENV:
            return "\n".join(f"export {name}={shlex.quote(fields[field])}" for name, field in _VARIABLES.items())


# The names that `aws configure export-credentials --format env` prints.
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "Token",
    "AWS_CREDENTIAL_EXPIRATION": "Expiration",
}
