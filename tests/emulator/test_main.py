"""`python -m sidecar.emulator` as a user starts it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp


async def test_it_prints_where_it_listens_projects_a_token_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.emulator", "--directory", str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    lines = [(await program.stdout.readline()).decode().strip() for _ in range(5)]
    said = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    assert said["AWS_WEB_IDENTITY_TOKEN_FILE"] == str(tmp_path / "token")
    assert (tmp_path / "token").read_text().count(".") == 2
    issuer = lines[0].removeprefix("# issuer ")
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{issuer}/.well-known/openid-configuration")
        assert (await answer.json())["issuer"] == issuer == f"{said['AWS_ENDPOINT_URL_STS']}/oidc"
    program.send_signal(signal.SIGINT)
    assert await program.wait() == 0


async def test_a_port_in_use_is_said_and_ends_with_1(tmp_path: Path) -> None:
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.emulator", "--port", str(port), stderr=asyncio.subprocess.PIPE
    )
    _, said = await program.communicate()
    holder.close()
    assert program.returncode == 1
    assert said.startswith(b"cannot start: ")
    assert b"Traceback" not in said
