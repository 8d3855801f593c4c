"""Asking the running daemon: what is sent, and a sentence with a remedy for whatever goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar.client import ask
from sidecar.contract import Answer, Refusal, Request, error
from sidecar.errors import ClientError
from sidecar.formats import Document, document
from sidecar.settings import Address
from tests.builders import session
from tests.ports import free_port
from tests.wire import serving

TOKEN = "an-authorization-token"
GOOD = document(session())
JSON = str(dict(GOOD)).replace("'", '"').encode()


def get(home: Path | None, port: int) -> Document:
    """What is answered by whatever listens on `port`, where the authorization tokens lie in `home`, or none is asked
    for."""
    return ask("default", Address(host="127.0.0.1", port=port), None if home is None else str(home))


def project(home: Path, text: str = TOKEN) -> Path:
    """An authorization token where the daemon writes it."""
    (home / "default").mkdir()
    path = home / "default" / "token"
    path.write_text(text)
    return path


async def asked(home: Path, answer: Answer) -> Document:
    """What the client makes of `answer`."""
    async with serving(lambda _: answer) as served:
        return await asyncio.to_thread(get, home, served.port)


def complaint(home: Path) -> str:
    with pytest.raises(ClientError) as caught:
        get(home, free_port())
    return str(caught.value)


async def test_it_asks_for_its_target_with_the_targets_token(tmp_path: Path) -> None:
    project(tmp_path, f"{TOKEN}\n")
    seen: list[Request] = []

    def handler(request: Request) -> Answer:
        seen.append(request)
        return Answer.of(200, JSON)

    async with serving(handler) as served:
        assert await asyncio.to_thread(get, tmp_path, served.port) == GOOD
    (request,) = seen
    assert (request.method, request.target) == ("GET", "/v1/credentials/default")
    assert request.headers["authorization"] == TOKEN
    assert request.headers["host"] == f"127.0.0.1:{served.port}"


async def test_no_token_is_shown_where_none_is_asked_for() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Answer:
        seen.append(request)
        return Answer.of(200, JSON)

    async with serving(handler) as served:
        await asyncio.to_thread(get, None, served.port)
    assert "authorization" not in seen[0].headers


async def test_a_refusal_is_told_with_code_message_and_setting(tmp_path: Path) -> None:
    project(tmp_path)
    with pytest.raises(ClientError, match=r"401 Unauthorized.*SIDECAR_AUTHORIZATION_DIR"):
        await asked(tmp_path, Refusal.AUTHORIZATION.answer)
    with pytest.raises(ClientError, match=r"404 NotFound.*--target"):
        await asked(tmp_path, Refusal.PATH.answer)
    with pytest.raises(ClientError, match=r"503 AccessDenied.*look at the trust policy.*log"):
        await asked(tmp_path, error(503, "AccessDenied", "look at the trust policy"))


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"", b"\xff", b'"x"', b"[" * 60_000], ids=lambda body: ascii(body)[:9]
)
async def test_another_server_is_taken_for_none_of_ours(tmp_path: Path, body: bytes) -> None:
    project(tmp_path)
    with pytest.raises(ClientError, match=r"no credential-sidecar answers on 127.0.0.1:\d+ .*SIDECAR_LISTEN"):
        await asked(tmp_path, Answer.of(200, body))


@pytest.mark.parametrize("field", GOOD)
async def test_a_document_that_lacks_a_field_is_no_credentials(tmp_path: Path, field: str) -> None:
    project(tmp_path)
    with pytest.raises(ClientError):
        await asked(tmp_path, Answer.of(200, JSON.replace(field.encode(), b"Other")))


def test_nobody_there_names_the_address_and_the_setting(tmp_path: Path) -> None:
    project(tmp_path)
    said = complaint(tmp_path)
    assert "Connection refused" in said
    assert "SIDECAR_LISTEN" in said


def test_a_missing_token_names_the_file_and_what_leads_there(tmp_path: Path) -> None:
    said = complaint(tmp_path / "none")
    assert f"{tmp_path}/none/default/token cannot be read: No such file" in said
    assert "are --target and SIDECAR_AUTHORIZATION_DIR the sidecar's?" in said


@pytest.mark.parametrize("text", ["", "short", "two\nlines-of-16-characters", "a;b" * 10, "ä" * 20])
def test_d16_what_is_no_authorization_token_is_neither_sent_nor_shown(tmp_path: Path, text: str) -> None:
    path = project(tmp_path, text)
    said = complaint(tmp_path)
    assert str(path) in said
    assert "SIDECAR_AUTHORIZATION_DIR" in said
    assert not text or text not in said


def test_a_directory_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "default" / "token").mkdir(parents=True)
    assert "cannot be read: Is a directory" in complaint(tmp_path)
