"""Real processes: the daemon with its log read as events, and a stock client. Nothing waits but for an event."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

# Real seconds for one event of a process: a start takes one, on a machine with other work some.
PATIENCE: Final = 30.0
ROOT: Final = Path(__file__).parents[1]
# What a program asks that has never heard of us: the default chain of a stock client.
CLIENT: Final = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


class Sidecar:
    """A running `python -m sidecar run`: its log lines as they come, its ports, its end."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.log: list[dict[str, Any]] = []
        self._seen = 0

    async def event(self, name: str, **facts: object) -> dict[str, Any]:
        """The next line of the event `name` with these facts, after the one that was returned last."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._found(name, facts)
        except TimeoutError:
            raise AssertionError(f"no {name} in {PATIENCE:.0f} s: {self.lines}") from None

    async def _found(self, name: str, facts: Mapping[str, object]) -> dict[str, Any]:
        while True:
            while self._seen < len(self.log):
                line = self.log[self._seen]
                self._seen += 1
                if line.get("event") == name and facts.items() <= line.items():
                    return line
            assert await self._read(), f"it ended without {name}: {self.lines}"

    async def served(self, target: str = "default") -> None:
        """It has credentials of `target` to give."""
        await self.event("PhaseChanged", target=target, after="fresh")

    async def _read(self) -> bool:
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        if line:
            self.lines.append(line.decode())
            with suppress(ValueError):
                self.log.append(json.loads(line))
        return bool(line)

    def port(self, face: str) -> int:
        """Where the listener of that face was bound."""
        addresses = next(each["addresses"] for each in self.log if each.get("face") == face)
        return int(addresses[0].rpartition(":")[2])

    def signal(self, number: signal.Signals) -> None:
        """As the kernel or kubelet would."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended; the rest of its log is read."""
        async with asyncio.timeout(PATIENCE):
            while await self._read():
                pass
            return await self.process.wait()


@asynccontextmanager
async def sidecar(settings: Mapping[str, str], *prefix: str, is_listening: bool = True) -> AsyncIterator[Sidecar]:
    """The daemon in its own process, ended by SIGTERM; `prefix` is a command that runs it (faketime, unshare)."""
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-m", "sidecar", "run", env=environment(settings), cwd=ROOT, stderr=PIPE
    )
    running = Sidecar(process)
    try:
        if is_listening:
            await running.event("Listening", face="status")
        yield running
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await running.ended()


async def run(*command: str, settings: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program of ours or of a client's, started by Python's arguments."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment(settings), cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(PATIENCE):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Of this process's environment only the search path; AWS's own files are looked for where none are."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **{k: v for k, v in settings.items() if v}}


async def identity(port: int, token_file: Path, sts: Mapping[str, str], path: str = "/v1/credentials") -> str:
    """Who a stock boto3 is through the endpoint: its default chain, two variables, and where STS is."""
    code, out, error = await run(
        "-c",
        CLIENT,
        settings={
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}{path}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
            **sts,
        },
    )
    assert code == 0, error
    return out.strip()
