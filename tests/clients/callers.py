"""A client at work: told to call, it says what came of it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from tests.clients.table import Client

# Beyond this a call is a hang; the slowest error by itself takes a minute.
HANG: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of one call: an ARN or a key of the bucket, or an error; and how many seconds it took."""

    text: str
    is_ok: bool
    seconds: float


class Caller(Protocol):
    """A client that was started; `version` is its own."""

    version: str

    async def call(self) -> Said:
        """One call."""


class _Program:
    """One process for all calls: a line in, a line out."""

    def __init__(self, process: Process) -> None:
        self.version = ""
        self._process = process

    async def call(self) -> Said:
        assert self._process.stdin
        began = time.monotonic()
        self._process.stdin.write(b"\n")
        line = await self.line()
        kind, _, text = line.partition(" ")
        assert kind in ("ok", "error"), line
        return Said(text=text, is_ok=kind == "ok", seconds=time.monotonic() - began)

    async def line(self) -> str:
        """The next line that it says."""
        assert self._process.stdout
        async with asyncio.timeout(HANG):
            line = await self._process.stdout.readline()
        assert line, f"it ended with {await self._process.wait()}"
        return line.decode(errors="replace").strip()


class _Tool:
    """A process for each call."""

    def __init__(self, client: Client, environ: Mapping[str, str]) -> None:
        self.version = ""
        self._client, self._environ = client, environ
        self._is_prepared = not client.before

    async def call(self) -> Said:
        began = time.monotonic()
        if not self._is_prepared:
            code, text = await self.run(self._client.before)
            if code:
                return Said(text=_last(text), is_ok=False, seconds=time.monotonic() - began)
            self._is_prepared = True
        code, text = await self.run(self._client.command)
        return Said(text=_last(text), is_ok=code == 0, seconds=time.monotonic() - began)

    async def run(self, command: tuple[str, ...]) -> tuple[int, str]:
        """Its exit code and what it printed."""
        filled = [word.format_map(self._environ) for word in command]
        process = await asyncio.create_subprocess_exec(
            *filled, env=dict(self._environ), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        try:
            async with asyncio.timeout(HANG):
                out, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return process.returncode or 0, out.decode(errors="replace").strip()


def _last(text: str) -> str:
    return text.splitlines()[-1].strip() if text else ""


def _version(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    assert found, f"no version in {text!r}"
    return found[0]


@asynccontextmanager
async def calling(client: Client, told: Mapping[str, str]) -> AsyncIterator[Caller]:
    """The client with the environment that it is told and of ours the search path alone; ended afterwards."""
    environ = {"PATH": f"/usr/bin{os.pathsep}{os.environ['PATH']}", **told, **client.environ}
    if client.is_one_shot:
        tool = _Tool(client, environ)
        _, said = await tool.run(client.version)
        tool.version = _version(said)
        yield tool
        return
    process = await asyncio.create_subprocess_exec(
        *client.command, env=environ, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    program = _Program(process)
    try:
        program.version = _version(await program.line())
        yield program
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
