"""Podman with the storage that `make image` filled, and what the kernel says of a container."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process import PATIENCE, Sidecar
from tools import image

MARKS: Final = [
    pytest.mark.image,
    pytest.mark.timeout(300),  # a storage that works everywhere copies a whole root for each container
    pytest.mark.skipif(not image.is_built(), reason="no image: `make image` makes it, as root on Debian"),
]
# As little as a pod may give a container; podman wants systemd for health checks.
HARD: Final = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--no-healthcheck")
_CGROUPS: Final = Path("/sys/fs/cgroup")


async def podman(*arguments: str) -> str:
    """What a podman that must succeed prints."""
    process = await asyncio.create_subprocess_exec(
        "podman", *arguments, env=image.environment(), stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(3 * PATIENCE):
        out, error = await process.communicate()
    assert process.returncode == 0, f"podman {arguments[0]}: {error.decode()}"
    return out.decode().strip()


async def inspected(container: str) -> dict[str, Any]:
    """All that podman says of a container."""
    (found,) = json.loads(await podman("container", "inspect", container))
    assert isinstance(found, dict)
    return found


async def process_id(container: str) -> int:
    """The number of its first process, outside."""
    return int((await inspected(container))["State"]["Pid"])


async def facts(container: str) -> dict[str, str]:
    """What the kernel says of its first process: /proc/PID/status."""
    status = Path(f"/proc/{await process_id(container)}/status").read_text()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in status.splitlines())}


@asynccontextmanager
async def log(container: str) -> AsyncIterator[Sidecar]:
    """The log of a container from its beginning, read as events; it may be started again meanwhile."""
    process = await asyncio.create_subprocess_exec(
        "podman", "logs", "--follow", container, env=image.environment(), stdout=PIPE, stderr=PIPE
    )
    try:
        yield Sidecar(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def says(container: str) -> str:
    """The first line that a container prints."""
    async with log(container) as running, asyncio.timeout(PATIENCE):
        assert running.process.stdout is not None
        return (await running.process.stdout.readline()).decode().strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A container's memory as its cgroup counts it, in bytes; `kills` is how often it ran out of it."""

    limit: int
    now: int
    peak: int
    kills: int


async def memory(container: str) -> Memory:
    """By either form of cgroups."""
    path = str((await inspected(container))["State"]["CgroupPath"]).lstrip("/")
    first, second = _CGROUPS / "memory" / path, _CGROUPS / path
    if first.is_dir():
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
    else:
        names = ("memory.max", "memory.current", "memory.peak", "memory.events")
    limit, now, peak, events = ((first if first.is_dir() else second).joinpath(name).read_text() for name in names)
    kills = next(line.split()[1] for line in events.splitlines() if line.startswith("oom_kill "))
    return Memory(limit=int(limit), now=int(now), peak=int(peak), kills=int(kills))
