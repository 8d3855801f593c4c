"""Credentials as programs take them: a document for each face, a section of AWS's file, and shell lines."""

import json
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sidecar.model import Session

# The five fields of the container-credentials document; secrets among them.
Document = Mapping[str, str]
# How one face writes the five fields.
Shape = Callable[[Document], Mapping[str, object]]

# What `aws configure export-credentials --format env` calls the fields of the document.
_VARIABLES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "Token": "AWS_SESSION_TOKEN",
    "Expiration": "AWS_CREDENTIAL_EXPIRATION",
}

# What the shared credentials file calls the fields; no SDK reads the last line, people do.
_KEYS = (
    ("aws_access_key_id", "AccessKeyId"),
    ("aws_secret_access_key", "SecretAccessKey"),
    ("aws_session_token", "Token"),
    ("aws_security_token", "Token"),
    ("expiration", "Expiration"),
)


def utc(instant: datetime) -> str:
    """R12: the one form that every client reads, whole seconds of UTC and a literal Z; `instant` is aware."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_of(unix: float) -> str:
    """The same of Unix seconds."""
    return utc(datetime.fromtimestamp(unix, UTC))


def document(session: Session) -> Document:
    """The five fields of the container-credentials document, in whole seconds of UTC; secrets among them."""
    held = session.credentials
    return {
        "AccessKeyId": held.access_key_id,
        "SecretAccessKey": held.secret_access_key.reveal(),
        "Token": held.session_token.reveal(),
        "Expiration": utc(held.expiration),
        "AccountId": session.identity.account,
    }


def container(fields: Document) -> Mapping[str, object]:
    """As the container-credentials endpoint has them."""
    return fields


def process(fields: Document) -> Mapping[str, object]:
    """As the standard output of a `credential_process` has them (AWS SDKs reference guide, "Process provider")."""
    renamed = {"SessionToken" if name == "Token" else name: value for name, value in fields.items()}
    return {"Version": 1, **renamed}


def instance(fields: Document, updated: str) -> Mapping[str, object]:
    """As instance metadata has them; `updated` is RFC 3339. No field more: s3fs counts them."""
    known = {name: value for name, value in fields.items() if name != "AccountId"}
    return {"Code": "Success", "LastUpdated": updated, "Type": "AWS-HMAC", **known}


def section(name: str, fields: Document) -> str:
    """As a section of the shared credentials file. boto 2 knows the second name of the session token alone."""
    lines = (f"{key} = {fields[field]}" for key, field in _KEYS)
    return "\n".join((f"[{name}]", *lines, ""))


# In which shapes `once` and `get` print the endpoint's document, without a line end.
FORMS: Mapping[str, Callable[[Document], str]] = {
    "json": lambda fields: json.dumps(fields, indent=2),
    "credential-process": lambda fields: json.dumps(process(fields), indent=2),
    "env": lambda fields: "\n".join(f"export {name}={shlex.quote(fields[key])}" for key, name in _VARIABLES.items()),
}
