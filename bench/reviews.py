"""The admission webhook under reviews of a usual pod, beside a bare HTTPS server that reads them and allows them."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from string import ascii_lowercase
from time import monotonic, sleep
from uuid import UUID

from bench.figures import CannotMeasureError, Figure, Plan, Sample
from bench.load import Load, load
from bench.stage import Process, Stage, ask, line, memory, process

# What the promise is made for: a rollout of 10,000 pods, and an API server that asks for 32 of them at once.
_REVIEWS, _CONNECTIONS = 10_000, 32
# Different ones, again and again: more than are remembered. Or the pods of a few rollouts at once.
_PODS, _WORKLOADS = 1000, 20
_HEAD = (
    "POST /v1/pods?timeout=5s HTTP/1.1\r\n"
    "Host: credential-sidecar.credential-sidecar.svc:443\r\n"
    "User-Agent: kube-apiserver-admission\r\n"
    "Content-Length: {}\r\n"
    "Accept: application/json, */*\r\n"
    "Content-Type: application/json\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
# What stands in the shared memory of a start is collected then; see `sidecar.process.SETTLED`.
_SETTLED = 3.0
_PATIENCE = 30.0
_ROOT = Path(__file__).parent
_NEW = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


def measure(here: Stage, plan: Plan) -> Iterator[Figure]:
    """Latencies in the same run, and what the kernel says of memory from the first review to the last."""
    here, there = here.moved(), here.moved()
    folder = _certificate(here.home / "tls")
    tls = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    one = partial(load, connections=_CONNECTIONS, answers=_REVIEWS, tls=tls)
    rollouts, strangers = _requests(_WORKLOADS), _requests(_PODS)
    with _webhook(here, folder) as ours, _plain(there, folder) as plain:
        one(here.port, ours.pid, requests=strangers)  # fills what is filled once
        before = memory(ours.pid)
        pairs, others = [], []
        for _ in range(plan.runs):
            beside = one(there.port, plain.pid, requests=rollouts)
            pairs.append((one(here.port, ours.pid, requests=rollouts), beside))
            others.append((one(here.port, ours.pid, requests=strangers), beside))
        after, most = memory(ours.pid), _most(ours.pid)
    _check([*pairs, *others])
    name = f"{_REVIEWS:,} reviews, {_CONNECTIONS} connections"
    yield Figure(name=f"p99 of {name}", unit="ms", target=10, samples=[Sample(ours=o.p99 * 1e3) for o, _ in pairs])
    for said, of, target in (("", pairs, 1.5), (", no two alike", others, 2.0)):
        p50 = [Sample(ours=o.p50 * 1e3, baseline=p.p50 * 1e3, work=o.work / p.work) for o, p in of]
        yield Figure(name=f"p50 of reviews{said}", unit="ms", target=target, samples=p50)
        p99 = [Sample(ours=o.p99 * 1e3, baseline=p.p99 * 1e3) for o, p in of]
        yield Figure(name=f"p99 of reviews{said}", unit="ms", target=target, samples=p99)
    yield Figure(name="Rss at most, of the webhook", unit="MB", target=64, samples=[Sample(ours=most)])
    growth = after["Rss"] - before["Rss"]
    yield Figure(name=f"growth over {2 * plan.runs * _REVIEWS:,}", unit="MB", target=1, samples=[Sample(ours=growth)])


def _check(pairs: list[tuple[Load, Load]]) -> None:
    """The generator has a core of its own, and must not be what is measured."""
    for ours, _ in pairs:
        if ours.own * ours.rate > 0.8:
            raise CannotMeasureError(f"the load generator was busy for {ours.own * ours.rate:.0%} of the time")


def _certificate(folder: Path) -> Path:
    """A directory as a mounted Secret is, for `localhost`."""
    if shutil.which("openssl") is None:
        raise CannotMeasureError("no openssl to make a certificate with: apt install openssl")
    folder.mkdir()
    key, certificate = str(folder / "tls.key"), str(folder / "tls.crt")
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run([*_NEW, *named, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return folder


def _requests(workloads: int) -> Iterator[bytes]:
    """What an API server sends of so many rollouts at once, without end: each pod has a uid and a volume of its own."""
    document, chance = json.loads((_ROOT / "review.json").read_text()), Random(1)  # noqa: S311 -- the same in every run
    review = json.dumps(document, separators=(",", ":"))
    uid, name, drawn = document["request"]["uid"], "orders", "kube-api-access-x7k2p"
    bodies = [
        review.replace(uid, str(UUID(int=chance.getrandbits(128))))
        .replace(name, f"or{number % workloads:04}")
        .replace(drawn, f"kube-api-access-{''.join(chance.choices(ascii_lowercase, k=5))}")
        for number in range(_PODS)
    ]
    return cycle([_HEAD.format(len(body)).encode() + body.encode() for body in bodies])


@contextmanager
def _webhook(here: Stage, folder: Path) -> Iterator[Process]:
    places = ("--listen", f"127.0.0.1:{here.port}", "--status-listen", f"127.0.0.1:{here.status_port}")
    flags = ("--tls-dir", str(folder), "--set", "region=eu-central-1")
    log = here.home / "webhook.log"
    with process("-m", "sidecar", "webhook", *places, *flags, log=log) as it:
        deadline = monotonic() + _PATIENCE
        while not _is_ready(here.status_port):
            if it.poll() is not None or monotonic() > deadline:
                raise CannotMeasureError(f"the webhook does not become ready:\n{log.read_text()}")
            sleep(0.05)
        sleep(_SETTLED)
        yield it


def _is_ready(port: int) -> bool:
    try:
        return ask(port, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    except OSError:
        return False


@contextmanager
def _plain(there: Stage, folder: Path) -> Iterator[Process]:
    files = (str(folder / "tls.crt"), str(folder / "tls.key"))
    with process("-m", "bench.plain_reviews", str(there.port), *files) as it:
        line(it)
        yield it


def _most(pid: int) -> float:
    """The most that was ever resident, in MB."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 / 1e6 for row in rows if row.startswith("VmHWM"))
