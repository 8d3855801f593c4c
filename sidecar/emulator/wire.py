"""The AWS query protocol: form parameters in, XML out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from sidecar.emulator.sessions import RoleSession
from sidecar.emulator.sts import Granted, Identity

NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
Fields = Iterable[tuple[str, str | None]]


def parameters(query: str, body: bytes) -> dict[str, str]:
    """The parameters of query string and form body; a name that is given twice keeps its first value."""
    pairs = parse_qsl(query, keep_blank_values=True) + parse_qsl(
        body.decode("utf-8", "replace"), keep_blank_values=True
    )
    return dict(reversed(pairs))


def success(action: str, answer: Granted | Identity, request_id: str, impostor: str | None = None) -> bytes:
    """The XML body of a success, in the shape of the STS model's `<Action>Response`; `impostor` is a false ARN to
    name.
    """
    fields = _identity(answer.session) if isinstance(answer, Identity) else _granted(answer, impostor)
    result = f"<{action}Result>{fields}</{action}Result>"
    metadata = f"<ResponseMetadata>{_leaves([('RequestId', request_id)])}</ResponseMetadata>"
    return f'<{action}Response xmlns="{NAMESPACE}">{result}{metadata}</{action}Response>'.encode()


def failure(code: str, message: str, status: int, request_id: str) -> bytes:
    """The XML body of an error; `Type` is Sender below 500 and Receiver from there."""
    kind = "Sender" if status < 500 else "Receiver"
    error = _leaves([("Type", kind), ("Code", code), ("Message", message)])
    tail = _leaves([("RequestId", request_id)])
    return f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{error}</Error>{tail}</ErrorResponse>'.encode()


def instant(seconds: float) -> str:
    """Unix seconds as STS writes them: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _identity(session: RoleSession) -> str:
    return _leaves([("UserId", session.user_id), ("Account", session.role.account), ("Arn", session.arn)])


def _granted(answer: Granted, impostor: str | None) -> str:
    session = answer.session
    user = _leaves([("AssumedRoleId", session.user_id), ("Arn", impostor or session.arn)])
    rest = _leaves(
        [
            ("SubjectFromWebIdentityToken", answer.subject),
            ("Audience", answer.audience),
            ("Provider", answer.provider),
            ("SourceIdentity", session.source_identity),
            ("PackedPolicySize", None if answer.packed_size is None else str(answer.packed_size)),
        ]
    )
    return f"<Credentials>{_leaves(_credentials(session))}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>{rest}"


def _credentials(session: RoleSession) -> Fields:
    yield "AccessKeyId", session.access_key_id
    yield "SecretAccessKey", session.secret_access_key
    yield "SessionToken", session.session_token
    yield "Expiration", instant(session.expiration)


def _leaves(fields: Fields) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields if value is not None)


def integer(parameters: Mapping[str, str], name: str) -> int | None:
    """The parameter as a number for the record, None where it is absent or none."""
    text = parameters.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
