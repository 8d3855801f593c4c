"""`credential-sidecar demo`: the whole story on one screen, against an STS that never leaves this machine.

The emulator plays STS, the OIDC provider and kubelet; the daemon is the real one in a process of its own, and so is
the boto3 client. Sessions are issued for 90 seconds and the token rotates, so that refreshes can be watched.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.emulator import Emulator, Kubelet, guide_world

# The shortest life that the emulator issues: refreshes come every 36 to 45 seconds.
LIFE = 90
# Often enough to be seen between two refreshes.
ROTATION = 30.0
# A cold start on a slow machine takes a few seconds; then something is wrong.
PATIENCE = 30.0
ROLE_A = "arn:aws:iam::111122223333:role/account-a-role"
ROLE_B = "arn:aws:iam::444455556666:role/account-b-role"
_CLIENT = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
# boto3 reads the second name alone, most others the first; and nobody shall look for a node's role.
_PLACE = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
# What would give the client credentials of this machine's, or send loopback through a proxy.
_FOREIGN = ("AWS_", "SIDECAR_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class DemoError(Exception):
    """The demo cannot go on; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where things are while the demo runs."""

    home: Path
    sts: Emulator
    kubelet: Kubelet
    credentials: int
    status: int

    @property
    def client(self) -> dict[str, str]:
        """The environment that a workload is given."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.credentials}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.home / "authorization" / "default" / "token"),
            "AWS_ENDPOINT_URL_STS": self.sts.url,
            **_PLACE,
        }

    @property
    def daemon(self) -> dict[str, str]:
        """The environment that the sidecar is given: what the EKS webhook injects, and the target."""
        return {
            "AWS_ROLE_ARN": ROLE_A,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.kubelet.path),
            "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": self.sts.url,
            "SIDECAR_LISTEN": f"127.0.0.1:{self.credentials}",
            "SIDECAR_STATUS_LISTEN": f"127.0.0.1:{self.status}",
            "SIDECAR_AUTHORIZATION_DIR": str(self.home / "authorization"),
            "SIDECAR_LOG_FORMAT": "json",
        }


def main(*, is_once: bool) -> int:
    """Runs the demo until Ctrl-C, or to the end of its story; answers the exit code."""
    try:
        asyncio.run(_until_told(_play(is_once=is_once)))
    except DemoError as error:
        print(f"\ncredential-sidecar demo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # nobody reads any more; what is still buffered must not fail again at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nStopped: the daemon, the emulator and their files are gone.")
    return 0


async def _until_told(play: Coroutine[Any, Any, None]) -> None:
    """SIGTERM ends the play as Ctrl-C does: the daemon and the files go with it."""
    task = asyncio.create_task(play)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _play(*, is_once: bool) -> None:
    async with _stage() as stage:
        _introduce(stage)
        before = await _identity(_PLACE)
        _say("Before", f"a plain boto3 has no credentials: {before.error}")
        async with _daemon(stage) as lines:
            await _until_served(lines)
            after = await _identity(stage.client)
            if not after.arn:
                raise DemoError(f"boto3 got no identity from the endpoint: {after.error}")
            _say("After", f"the same boto3, through the endpoint: {after.arn}")
            if not is_once:
                _invite(stage)
                await _watch(stage, lines)


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="credential-sidecar-demo-") as home:
        async with Emulator(lambda issuer: guide_world(issuer, "chained")) as sts:
            sts.issued_life = LIFE
            kubelet = Kubelet(Path(home) / "projected", sts)
            kubelet.project()
            yield Stage(home=Path(home), sts=sts, kubelet=kubelet, credentials=_port(9911), status=_port(9912))


def _port(wanted: int) -> int:
    """The usual port, or a free one where somebody has it; nobody else is given it before the daemon listens there."""
    for port in (wanted, 0):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only now: a second demo asks for it without
            found: int = sock.getsockname()[1]
            sock.detach()  # held to the end
            if not port:
                _say("Port", f"{wanted} is taken on this machine: {found} is used instead")
            return found
    raise DemoError("no free port on 127.0.0.1")


@asynccontextmanager
async def _daemon(stage: Stage) -> AsyncIterator[asyncio.StreamReader]:
    """The real daemon in its own process; yields its log."""
    command = (sys.executable, "-m", "sidecar", "run")
    process = await asyncio.create_subprocess_exec(
        *command, env=_environment(stage.daemon), stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    if process.stderr is None:
        raise DemoError("the daemon's log cannot be read")
    try:
        yield process.stderr
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _events(lines: asyncio.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """The daemon's log lines as they come; raises DemoError with what it said where it ends by itself."""
    said: list[str] = []
    while line := await lines.readline():
        try:
            yield json.loads(line)
        except ValueError:
            said.append(line.decode(errors="replace").rstrip())
    raise DemoError("the daemon ended:\n" + "\n".join(said))


async def _until_served(lines: asyncio.StreamReader) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            async for event in _events(lines):
                _relay(event)
                if event.get("event") == "PhaseChanged" and event["after"] == "fresh":
                    return
    except TimeoutError:
        raise DemoError(f"nothing was served within {PATIENCE:.0f} seconds") from None


async def _watch(stage: Stage, lines: asyncio.StreamReader) -> None:
    async def rotate() -> None:
        while True:
            await asyncio.sleep(ROTATION)
            stage.kubelet.project()

    rotating = asyncio.create_task(rotate())
    try:
        async for event in _events(lines):
            _relay(event)
            if event.get("event") == "HopSucceeded" and event["role"] == ROLE_B:
                identity = await _identity(stage.client)
                _say("Client", identity.arn or identity.error)
    finally:
        rotating.cancel()


def _relay(event: Mapping[str, Any]) -> None:
    match event.get("event"):
        case "HopSucceeded":
            signed = "with the projected token, unsigned" if event["hop"] == 1 else f"signed by hop {event['hop'] - 1}"
            _say(f"Hop {event['hop']}", f"{event['arn']} {signed}, access key …{event['access_key_id'][-4:]}")
        case "HopFailed" | "TokenFailed":
            _say("Trouble", event["message"])
        case "TokenRead" if event["rotated"]:
            _say("Token", "kubelet rotated it")
        case "PhaseChanged":
            _say("Phase", event["message"])
        case _:
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a client process found out: an ARN, or the last line of its error."""

    arn: str
    error: str


async def _identity(environment: Mapping[str, str]) -> Identity:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CLIENT),
        env=_environment(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    lines = error.decode(errors="replace").strip().splitlines()
    return Identity(arn=out.decode().strip(), error=lines[-1] if lines else "")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what names an AWS identity or a proxy, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    return {**kept, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, **more}


def _introduce(stage: Stage) -> None:
    token = stage.kubelet
    print("credential-sidecar: a token in, Account B's credentials out\n")
    _say("STS", f"a strict emulator on {stage.sts.url}; nothing leaves this machine")
    _say("Token", f"system:serviceaccount:{token.namespace}:{token.service_account} for {token.audience}")
    _say("Chain", f"{ROLE_A} → {ROLE_B}")


def _invite(stage: Stage) -> None:
    exports, settings = (
        " ".join(f"{name}={value}" for name, value in each.items()) for each in (stage.client, stage.daemon)
    )
    base = f"http://127.0.0.1:{stage.status}"
    print(f'\nPaste into another shell:\n\n  export {exports}\n  {sys.executable} -c "{_CLIENT}"\n')
    print(f"What doctor says of it; its one ✗ is that sessions live {LIFE} s here:\n")
    print(f"  env {settings} {sys.executable} -m sidecar doctor\n")
    print(f"Page: {base}/   Status: {base}/status   Metrics: {base}/metrics   Ready: {base}/readyz")
    print(f"\nSessions live {LIFE} s here, the token rotates every {ROTATION:.0f} s. Ctrl-C ends it.\n", flush=True)


def _say(what: str, words: str) -> None:
    print(f"{what:>8}  {words}", flush=True)
