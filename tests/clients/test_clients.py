"""Every client of the table against the real daemon: whose it is, over refreshes, before and without credentials."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar.emulator import Fault
from tests.clients import results
from tests.clients.callers import Said, calling
from tests.clients.stage import PACE, Stage, passes, stage
from tests.clients.table import CLIENTS, VARIABLE, Client
from tests.emulator.stock import SESSION
from tests.process import Sidecar

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

IDENTITY = {"STS": f"arn:aws:sts::444455556666:assumed-role/account-b-role/{SESSION}", "S3": "hello.txt"}
# How many sessions a client must have gone through, and within how many seconds of 90 s sessions.
SESSIONS, LONGEST = 3, 330.0
# What the endpoint itself waits for the first credentials: every client has that much patience.
COMMON = 0.4
# The first call of the daemon to STS is given up after five seconds.
HOLD = 3.0

SERVED = [client for client in CLIENTS if not client.face]
EACH = pytest.mark.parametrize("client", SERVED, ids=lambda client: client.name)
WAYS = [pytest.param(client, token, id=f"{client.name} by {token}") for client in SERVED for token in client.tokens]


@pytest.fixture(autouse=True)
def _built(client: Client) -> None:
    if not client.tools.is_here:
        pytest.skip(f"no {client.tools.command}: {client.tools.install}")


def right(client: Client, said: Said) -> bool:
    """Whether it is account B's, or was let into its bucket."""
    if client.is_one_shot and client.asks == "S3":  # what a tool prints is its own business: the bucket let it in
        return said.is_ok
    return said.is_ok and said.text == IDENTITY[client.asks]


@pytest.mark.parametrize(("client", "token"), WAYS)
async def test_it_is_account_bs(client: Client, token: str, tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.serving(), calling(client, here.endpoint(token)) as caller:
        said = await caller.call()
        assert right(client, said), said
        assert len(here.keys()) == 1
        results.note(client, version=caller.version, **{token: True})


@EACH
async def test_it_keeps_working_over_refreshes(client: Client, tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.serving() as running:
        await goes_on(here, running, client, _told(here, client))
        assert len(here.keys()) >= SESSIONS
        results.note(client, sessions=len(here.keys()))


@EACH
async def test_started_before_there_are_credentials_it_gets_them_as_soon_as_they_exist(
    client: Client, tmp_path: Path
) -> None:
    async with stage(tmp_path) as here, calling(client, _told(here, client)) as caller, here.awaiting():
        asked = asyncio.create_task(caller.call())
        await passes(max(COMMON, min(0.7 * client.patience, HOLD)))
        here.sts.fault = Fault.none()
        said = await asked
        assert right(client, said), said
        results.note(client, early=True)


@EACH
async def test_without_credentials_it_says_so_and_recovers(client: Client, tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.sts.fault = Fault.error("AccessDenied", 403)
        async with here.daemon() as running:
            await running.event("HopFailed")
            async with calling(client, _told(here, client)) as caller:
                wrong = await caller.call()
                assert not wrong.is_ok, wrong
                assert wrong.text, "an error without a word"
                here.sts.fault = Fault.none()
                await here.refresh(running)
                right_now = await caller.call()
                assert right(client, right_now), right_now
                results.note(client, waits=max(wrong.seconds - right_now.seconds, 0.0), says=wrong.text)


async def goes_on(here: Stage, running: Sidecar, client: Client, told: Mapping[str, str]) -> None:
    """One process of the client is account B's over so many sessions; of a one-shot tool, so many processes."""
    async with calling(client, told) as caller:
        end = time.monotonic() + LONGEST
        while len(here.keys()) < SESSIONS:
            assert time.monotonic() < end, f"{len(here.keys())} sessions only"
            said = await caller.call()
            assert right(client, said), said
            await passes(PACE)
            await here.refresh(running)
        results.note(client, version=caller.version)


def _told(here: Stage, client: Client) -> dict[str, str]:
    return here.endpoint(VARIABLE if client.tokens == (VARIABLE,) else client.tokens[0])
