"""The same outages on real processes, with time sped up: `make chaos`.

libfaketime speeds up every clock of a process, CLOCK_BOOTTIME and epoll's timeouts among them (a test below
holds it to that). CPU work takes virtual time too: at 12, a deadline of five virtual seconds is 0.4 real ones, and a
session of 900 s passes in 75. Each process is sped up from its own start, so that the daemon, which starts later, is
some seconds behind STS: well within what signatures and sessions bear.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.builders import REGION
from tests.harness import usual_settings
from tests.process import ROOT, Sidecar, environment, sidecar
from tests.wire import ask, last

SPEED = 12
LIFE = 900  # virtual seconds: refreshed at 360 to 450


# A command that runs another sped up: the library by itself, since the wrapper `faketime` would stay its parent and
# take its signals.
LIBRARY = "/usr/$LIB/faketime/libfaketime.so.1"  # the loader knows $LIB
FASTER = ("env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME=+0 x{SPEED}")

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(300),  # a session of 900 virtual seconds twice, and starts that wait for two cores
    pytest.mark.skipif(shutil.which("faketime") is None, reason="no faketime: apt install faketime"),
]


@pytest.fixture(autouse=True)
def _no_leftovers() -> None:
    """The library refuses to start where a killed process of the same number left its shared memory."""
    for path in Path("/dev/shm").glob("*faketime_s*_*"):
        if not Path("/proc", path.name.rpartition("_")[2]).exists():
            path.unlink(missing_ok=True)


# A stand-in for STS that fails in one way between two virtual instants after the first grant, and says when.
EMULATOR = """
import asyncio, sys, time
from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
FAULTS = {"500": Fault.http(500), "hang": Fault.hang(), "denied": Fault.error("AccessDenied", 403)}
async def main(directory, name, life, begins, ends):
    async with Emulator(guide_world) as sts:
        sts.issued_life = float(life)
        Kubelet(directory, sts).project()
        print(sts.url, flush=True)
        while len(sts.calls) < 2:
            await asyncio.sleep(0.1)
        granted = sts.calls[1].at
        await asyncio.sleep(granted + float(begins) - time.time())
        sts.fault = FAULTS[name]
        print("broken", flush=True)
        await asyncio.sleep(granted + float(ends) - time.time())
        sts.fault = Fault.none()
        print("well", time.time(), flush=True)
        await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


# How far each clock goes while a queue waits for six seconds, and the real one at least and at most.
CLOCKS = """
import select, time
def real():
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])
def all():
    return [time.clock_gettime(each) for each in (time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC, time.CLOCK_REALTIME)]
begun, before, begins = real(), all(), real()
select.epoll().poll(6)
ends, after, ended = real(), all(), real()
print(ends - begins, ended - begun, *(one - other for one, other in zip(after, before)))
"""
RESOLUTION = 0.02  # seconds, of two looks at the uptime


def test_faketime_speeds_up_every_clock_that_the_daemon_reads() -> None:
    said = subprocess.run([*FASTER, sys.executable, "-c", CLOCKS], check=True, capture_output=True, text=True).stdout
    least, most, *clocks = map(float, said.split())
    assert least < 6  # so much for the queue: its timeout is sped up, too
    for seconds in clocks:
        assert max(6, SPEED * (least - RESOLUTION)) <= seconds <= SPEED * (most + RESOLUTION)


@pytest.mark.parametrize(("fault", "recovery", "patience"), [("500", 120, 82), ("hang", 120, 82), ("denied", 352, 322)])
async def test_an_outage_of_a_sped_up_process_passes_unseen(
    fault: str, recovery: int, patience: int, tmp_path: Path
) -> None:
    arguments = (str(tmp_path / "projected"), fault, str(LIFE), "350", str(LIFE - recovery))
    emulator = await asyncio.create_subprocess_exec(
        *(*FASTER, sys.executable, "-c", EMULATOR, *arguments),
        env=environment({}),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert emulator.stdout is not None
        url = (await emulator.stdout.readline()).decode().strip()
        settings = usual_settings(tmp_path, url, tmp_path / "projected" / "token")
        async with sidecar({**settings, "AWS_REGION": REGION, "SIDECAR_LOG_LEVEL": "debug"}, *FASTER) as running:
            await running.served()
            asking = asyncio.create_task(_ask(running, tmp_path / "authorization" / "default" / "token"))
            assert (await emulator.stdout.readline()).decode() == "broken\n"
            await running.event("HopFailed")
            well, instant = (await emulator.stdout.readline()).decode().split()
            assert well == "well"
            refreshed = datetime.fromisoformat((await running.event("HopSucceeded", hop=2))["time"]).timestamp()
            assert refreshed - float(instant) <= patience
            assert (await ask(running.port("status"), last("/readyz"))).status == 200
            asking.cancel()
            statuses = (await asyncio.gather(asking, return_exceptions=True))[0]
            assert isinstance(statuses, asyncio.CancelledError), statuses
    finally:
        emulator.terminate()
        await emulator.wait()
    failed = [line for line in running.log if line.get("event") == "HopFailed"]
    assert len(failed) > 3
    assert all(line.get("after") != "expired" for line in running.log)


async def _ask(running: Sidecar, token_file: Path) -> None:
    """Asks about every virtual second until cancelled; any answer but 200 is an error."""
    line = f"Authorization: {token_file.read_text()}"
    while True:
        assert (await ask(running.port("credentials"), last("/v1/credentials", line))).status == 200
        await asyncio.sleep(1 / SPEED)
