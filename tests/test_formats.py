"""Credentials in the shapes that programs take."""

from __future__ import annotations

import json
import subprocess

from sidecar.formats import FORMS, document
from tests.builders import ACCOUNT_B, credentials, session

FIELDS = document(session())
HELD = credentials()


def test_the_document_is_the_endpoints() -> None:
    assert {
        "AccessKeyId": HELD.access_key_id,
        "SecretAccessKey": HELD.secret_access_key.reveal(),
        "Token": HELD.session_token.reveal(),
        "Expiration": "2033-05-18T03:33:20Z",
        "AccountId": ACCOUNT_B,
    } == FIELDS
    assert json.loads(FORMS["json"](FIELDS)) == FIELDS


def test_credential_process_has_a_version_and_its_own_name_for_the_session_token() -> None:
    printed = json.loads(FORMS["credential-process"](FIELDS))
    assert printed["Version"] == 1
    assert printed["SessionToken"] == FIELDS["Token"]
    assert printed.keys() == {"Version", "SessionToken", *FIELDS} - {"Token"}


def test_shell_lines_survive_a_shell() -> None:
    hostile = {**FIELDS, "SecretAccessKey": "a'b$c`d\"e\\f"}
    script = FORMS["env"](hostile) + '\nprintf \'%s|%s\' "$AWS_SECRET_ACCESS_KEY" "$AWS_CREDENTIAL_EXPIRATION"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == f"{hostile['SecretAccessKey']}|{FIELDS['Expiration']}"
