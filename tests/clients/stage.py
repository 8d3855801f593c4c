"""Where a client of the zoo plays: the strict STS, a bucket of account B, the real daemon in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.emulator import Emulator, Fault, Kubelet, guide_world
from tests.builders import REGION
from tests.clients.bucket import Bucket
from tests.harness import usual_settings
from tests.ports import free_port
from tests.process import Sidecar, sidecar

# The shortest life that the emulator issues: a client that caches as long as it can has three of them in four minutes.
LIFE: Final = 90.0
# What a client is told before the daemon has started.
TOKEN: Final = "the-token-of-every-stage-in-the-zoo-12345"
# A little more than the ten seconds in which "refresh now" is granted once.
PACE: Final = 10.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The machinery; `credentials` and `imds` are ports that are known before anything listens there."""

    home: Path
    sts: Emulator
    bucket: Bucket
    kubelet: Kubelet
    credentials: int
    imds: int
    settings: Mapping[str, str]

    @property
    def place(self) -> dict[str, str]:
        """What a workload is told of where things are, in every way in which SDKs want to hear it."""
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_STS": self.sts.url,
            "AWS_ENDPOINT_URL_S3": self.bucket.url,
            "STS_URL": self.sts.url,
            "S3_URL": self.bucket.url,
            "S3_BUCKET": self.bucket.name,
            "S3_HOST": self.bucket.url.removeprefix("http://"),
            "HOME": str(self.home),
        }

    def endpoint(self, token: str) -> dict[str, str]:
        """The two variables of the endpoint; `token` is how the client is told it: `file` or `variable`."""
        path = str(self.home / "authorization" / "default" / "token")
        uri = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.credentials}/v1/credentials"}
        if token == "file":
            return {**self.place, **uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path}
        return {**self.place, **uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN}

    @property
    def instance(self) -> dict[str, str]:
        """The variable of instance metadata, and none that says otherwise."""
        place = {name: value for name, value in self.place.items() if name != "AWS_EC2_METADATA_DISABLED"}
        return {**place, "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self.imds}/"}

    def keys(self) -> list[str]:
        """The access key ids that a client was let in with, by STS or by the bucket, in order and each once."""
        sts = [call.signed_by for call in self.sts.calls if call.action == "GetCallerIdentity" and call.code is None]
        bucket = [call.access_key_id for call in self.bucket.calls if call.code is None]
        return list(dict.fromkeys(key for key in (*sts, *bucket) if key))

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Sidecar]:
        """The daemon, listening."""
        async with sidecar(self.settings) as running:
            yield running

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Sidecar]:
        """The daemon, with credentials to give."""
        async with self.daemon() as running:
            await running.served()
            yield running

    @asynccontextmanager
    async def awaiting(self) -> AsyncIterator[Sidecar]:
        """The daemon in the middle of its first call to STS, which is answered when the fault is lifted."""
        self.sts.fault = Fault.held()
        async with self.daemon() as running:
            while not self.sts.calls:  # the record is a deque, not an event
                await passes(0.02)
            yield running

    async def refresh(self, running: Sidecar) -> None:
        """Another session is served: asked for now, unless the schedule has brought one."""
        running.signal(signal.SIGHUP)
        await running.event("HopSucceeded", hop=2)


@asynccontextmanager
async def stage(home: Path, settings: Mapping[str, str] | None = None, life: float = LIFE) -> AsyncIterator[Stage]:
    """A stage below `home` on which sessions live for `life` seconds; `settings` are more of the daemon's."""
    async with Emulator(guide_world) as sts, Bucket(sts) as bucket:
        sts.issued_life = life
        kubelet = Kubelet(home / "projected", sts)
        kubelet.project()
        credentials, imds = free_port(), free_port()
        listen = {"SIDECAR_LISTEN": f"127.0.0.1:{credentials}", "SIDECAR_AUTHORIZATION_TOKEN": TOKEN}
        if settings and "SIDECAR_IMDS_TOKENS" in settings:
            listen["SIDECAR_IMDS_LISTEN"] = f"127.0.0.1:{imds}"
        yield Stage(
            home=home,
            sts=sts,
            bucket=bucket,
            kubelet=kubelet,
            credentials=credentials,
            imds=imds,
            settings={**usual_settings(home, sts.url, kubelet.path), **listen, **(settings or {})},
        )


async def passes(seconds: float) -> None:
    """Real time passes: the pace of a program that calls now and then."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over
