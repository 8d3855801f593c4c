"""Where things are measured: a token on disk, an STS at 0 ms in a process of its own, and processes that are given no
environment but what the daemon needs. Everything is on loopback."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep, time

from bench.figures import CannotMeasureError
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
BASELINE = "import aiohttp.web, aiobotocore.session"
Process = subprocess.Popen[str]

_ROLES = ("arn:aws:iam::111122223333:role/account-a-role", "arn:aws:iam::444455556666:role/account-b-role")
_AUTHORIZATION = "benchmark-benchmark-benchmark-benchmark-123"  # as long as the random ones
# A start takes under a second on an idle machine; whatever takes longer than this is no start.
_PATIENCE = 30.0
# Between two looks whether it listens, so that looking does not slow it down; the credentials come later, and are
# waited for on the connection.
_GLANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where things are: the token's directory, the STS process and its port, the ports that a daemon takes."""

    home: Path
    sts: Process
    sts_port: int
    port: int
    status_port: int

    @property
    def environment(self) -> dict[str, str]:
        """All that a daemon is given."""
        return {
            "AWS_ROLE_ARN": _ROLES[0],
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.home / "token"),
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{self.sts_port}",
            "SIDECAR_TARGET_ROLE_ARN": _ROLES[1],
            "SIDECAR_LISTEN": f"127.0.0.1:{self.port}",
            "SIDECAR_STATUS_LISTEN": f"127.0.0.1:{self.status_port}",
            "SIDECAR_AUTHORIZATION_DIR": str(self.home / "authorization"),
            "SIDECAR_AUTHORIZATION_TOKEN": _AUTHORIZATION,
        }

    @property
    def request(self) -> bytes:
        """What a client sends for credentials."""
        lines = (
            "GET /v1/credentials HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "User-Agent: bench",
            "Accept: application/json",
            f"Authorization: {_AUTHORIZATION}",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    @contextmanager
    def daemon(self, *arguments: str) -> Iterator[Process]:
        """The daemon on ports of its own, or a program with its settings; the stage's ports are this one's."""
        log = self.home / "log"
        with process(*(arguments or ("-m", "sidecar", "run")), environment=self.environment, log=log) as it:
            yield it

    def moved(self) -> Stage:
        """The same stage with other ports, so that one daemon never waits for another's."""
        return replace(self, port=free_port(), status_port=free_port())

    def until_served(self, daemon: Process) -> bytes:
        """Asks until the first credentials come, and answers their bytes."""
        deadline = monotonic() + _PATIENCE
        while monotonic() < deadline:
            try:
                status, body = ask(self.port, self.request)
            except OSError:
                status, body = 0, b""
            if status == 200:
                return body
            if daemon.poll() is not None:
                raise CannotMeasureError(f"the daemon ended:\n{(self.home / 'log').read_text()}")
            sleep(_GLANCE)
        raise CannotMeasureError(f"no credentials within {_PATIENCE:.0f} s:\n{(self.home / 'log').read_text()}")

    def refreshes(self) -> int:
        """The refreshes that the daemon's metrics count as successes."""
        _, text = ask(self.status_port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = re.search(rb'_refreshes_total\{outcome="success",target="default"\} (\S+)', text)
        if found is None:
            raise CannotMeasureError("the metrics do not count refreshes")
        return int(float(found[1]))

    def is_stale(self) -> bool:
        """Whether the daemon says that its credentials are to be replaced."""
        _, text = ask(self.status_port, b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return bool(json.loads(text)["targets"][0]["phase"] == "stale")


@contextmanager
def stage() -> Iterator[Stage]:
    """A token, an STS and free ports, until the end of the block."""
    with TemporaryDirectory(prefix="credential-sidecar-bench-") as home, process("-m", "bench.sts") as sts:
        Path(home, "token").write_text(_token(), "ascii")
        port = int(line(sts))
        yield Stage(home=Path(home), sts=sts, sts_port=port, port=free_port(), status_port=free_port())


@contextmanager
def process(
    *arguments: str, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[Process]:
    """This Python with `arguments`, from the checkout and with `environment` alone; killed at the end."""
    with (
        (log or Path("/dev/null")).open("w") as errors,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as it,
    ):
        try:
            yield it
        finally:
            it.kill()


def line(it: Process) -> str:
    """The next line that a process of the bench says."""
    assert it.stdout is not None
    said = it.stdout.readline()
    if not said:
        raise CannotMeasureError(f"{it.args!r} ended with {it.wait()}")
    return said.strip()


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: the status and the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as sock:
        sock.sendall(request)
        answer = b""
        while (size := whole(answer)) is None or len(answer) < size:
            if not (piece := sock.recv(65536)):
                raise ConnectionResetError("closed before the answer was whole")
            answer += piece
    return int(answer.split(b" ")[1]), answer.partition(b"\r\n\r\n")[2]


def whole(answer: bytes) -> int | None:
    """How many bytes an answer has that begins like this; None where its head is not complete."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head, re.IGNORECASE)
    return len(head) + len(end) + int(length[1]) if end and length else None


def memory(pid: int) -> dict[str, float]:
    """What the kernel counts for a process, in MB by its own names (`Rss`, `Anonymous`, …)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(kib) * 1024 / 1e6 for name, kib, _ in (row.split() for row in rows)}


def processor_seconds(pid: int) -> float:
    """The seconds that all threads of a process have been on a core."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _token() -> str:
    """A projected token as far as the daemon looks: it decodes, and STS verifies; this one has no signature."""
    who = {"namespace": "shop", "pod": {"name": "orders-7d4b9c-xk2lp"}, "serviceaccount": {"name": "orders"}}
    claims = {
        "aud": ["sts.amazonaws.com"],
        "exp": int(time()) + 86_400,
        "iss": "https://oidc.invalid/id",
        "kubernetes.io": who,
        "sub": "system:serviceaccount:shop:orders",
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "bench"}, claims))
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"\0" * 256))
