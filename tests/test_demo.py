"""What the demo prints to be pasted does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sidecar.demo import _port
from tests.process import environment


def test_a_port_is_the_demos_own_from_when_it_was_chosen() -> None:
    chosen = _port(0)
    assert _port(chosen) != chosen
    socket.create_server(("127.0.0.1", chosen)).close()  # as the daemon does, a second later


@asynccontextmanager
async def demo() -> AsyncIterator[list[str]]:
    """The lines of the demo until it has said everything that can be pasted."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "demo"), env=environment({}), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not lines or "Ctrl-C" not in lines[-1]:
                line = await process.stdout.readline()
                assert line, lines
                lines.append(line.decode().strip())
        yield lines
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def pasted(line: str) -> tuple[int, str]:
    """Exit code and output of a shell that has nothing but the search path."""
    process = await asyncio.create_subprocess_shell(
        line, env={"PATH": os.environ["PATH"]}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode().strip()


async def test_what_is_to_be_pasted_shows_account_b_and_a_healthy_sidecar_with_short_sessions() -> None:
    async with demo() as lines:
        (export,) = [line for line in lines if line.startswith("export ")]
        (client,) = [line for line in lines if "get_caller_identity" in line]
        assert "assumed-role/account-b-role/" in (await pasted(f"{export}; {client}"))[1]
        (doctor,) = [line for line in lines if line.endswith(" doctor")]
        code, said = await pasted(f"{doctor} --format json")
        found = json.loads(said)
    assert [each["code"] for each in found["findings"] if each["state"] != "ok"] == ["nearly-expired"]
    assert code == found["exit"]
