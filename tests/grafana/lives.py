"""Lives of pods in virtual time, as a Prometheus that scrapes every 15 seconds would have them.

Each is the whole daemon of tests/harness.py, its registry rendered at every scrape. What a scrape adds is added here:
its time, and labels for cluster, namespace, pod, job and instance. The namespace is the name of the life.

    python -m tests.grafana.lives DIRECTORY [NAME …]
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby, product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sidecar.emulator import Fault
from sidecar.events import Event
from sidecar.metrics import PREFIX
from tests.harness import BOOT, EPOCH, Clock, Life, Loop
from tests.wire import last

SCRAPE: Final = 15  # seconds
MINUTE: Final = 60
LENGTH: Final = 3 * 60 * MINUTE
CLUSTER: Final = "harbour"
# By name of a pod: what every draw of its schedule gives, so that two pods do not do the same at once.
PODS: Final = {"orders-0": 0.8, "orders-1": 0.2}
_TOKEN_LIFE: Final = 3600  # kubelet's default, replaced at four fifths of it
_ROTATION: Final = _TOKEN_LIFE * 4 // 5
_LATENCY: Final = 0.08  # a regional call
_POLICY: Final = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
)
_SAMPLE: Final = re.compile(rf"({PREFIX}\w+)(?:{{(.*)}})? (\S+)")

# What happens to a pod, by minutes since it started.
Moments = dict[int, Callable[[Life], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A life by what goes wrong in it; `rotates_until` is in seconds, `first` is how STS is at the start."""

    moments: Moments
    first: Fault = Fault.none()  # noqa: RUF009  # a value
    rotates_until: int = LENGTH
    wrong_tokens: range = range(0)

    def acts(self, life: Life, at: int) -> None:
        """What happens at `at` seconds, of things outside the daemon."""
        if at % _ROTATION == 0 and at <= self.rotates_until:
            life.kubelet.project()
        if at % MINUTE == 0 and (change := self.moments.get(at // MINUTE)):
            change(life)


def sts(fault: Fault) -> Callable[[Life], None]:
    """STS answers so from now on."""

    def change(life: Life) -> None:
        life.sts.fault = fault

    return change


def node(seconds: float) -> Callable[[Life], None]:
    """Somebody sets the node's clock so far ahead."""

    def change(life: Life) -> None:
        life.step = seconds

    return change


def _rotate(life: Life) -> None:
    life.kubelet.project()


def _garble(life: Life) -> None:
    life.kubelet.project("half a tok")


_WELL = sts(Fault.none())
_DENIED = Fault.error("AccessDenied", 403).only(action="AssumeRole")
_PROVIDER_GONE = sts(Fault.error("InvalidIdentityToken").only(action="AssumeRoleWithWebIdentity"))
_FLAPS: Moments = {at: sts(Fault.http(503)) if at % 3 else _WELL for at in range(50, 180)}
# A refresh is due after 25 to 29 minutes, so a fault from minute 50 on is met at the second or the third one.
STORIES: Final = {
    "healthy": Story(moments={}),
    "throttled": Story(moments={50: sts(Fault.error("Throttling")), 75: _WELL}),
    "denied": Story(moments={60: sts(_DENIED), 150: _WELL}),
    "outage": Story(moments={50: sts(Fault.hang()), 130: _WELL}),
    "expired": Story(moments={50: _PROVIDER_GONE}),
    "token-stuck": Story(moments={140: _garble, 165: _rotate}, rotates_until=_ROTATION),
    "skew": Story(moments={50: node(100), 70: node(400), 108: node(0)}),
    "flapping": Story(moments=_FLAPS),
    "waiting": Story(moments={40: _WELL}, first=_DENIED),
    "refused": Story(moments={}, wrong_tokens=range(60 * MINUTE, 90 * MINUTE, 20)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """What one scrape of a pod found: the samples by series, with the labels that scraping adds."""

    at: float
    samples: dict[str, str]


def scrapes(name: str, pod: str) -> list[Scrape]:
    """That life of that pod."""
    with TemporaryDirectory() as home, asyncio.Runner(loop_factory=lambda: Loop(Clock())) as runner:
        return runner.run(_lived(STORIES[name], name, pod, Path(home)))


async def _lived(story: Story, name: str, pod: str, home: Path) -> list[Scrape]:
    def begun(_: Event) -> None:
        if not life.events[1:]:
            life.sts.fault = story.first
            life.kubelet.lifetime = _TOKEN_LIFE
            life.kubelet.project()
            life.latency = _LATENCY

    life = Life(home, {"SIDECAR_POLICY": _POLICY}, chance=PODS[pod], observe=begun)
    found = []
    async with life:
        for at in range(SCRAPE, LENGTH + 1, 5):
            await life.comes(BOOT + at)
            story.acts(life, at)
            if at in story.wrong_tokens:
                await life.raw(last("/v1/credentials", "Authorization: not-the-token-of-this-target"))
            if at % MINUTE == 30:
                await life.request()
            if at % SCRAPE == 0:
                found.append(Scrape(at=EPOCH + at, samples=_scraped(life, name, pod)))
    return found


def _scraped(life: Life, namespace: str, pod: str) -> dict[str, str]:
    text, _ = life.daemon.metrics.render("application/openmetrics-text")
    added = (
        f'cluster="{CLUSTER}",instance="{namespace}/{pod}",job="credential-sidecar",namespace="{namespace}",pod="{pod}"'
    )
    found = {f"up{{{added}}}": "1.0"}
    for sample in map(_SAMPLE.fullmatch, text.decode().splitlines()):
        if sample:
            metric, labels, value = sample.groups()
            found[f"{metric}{{{added}{',' + labels if labels else ''}}}"] = value
    return found


def openmetrics(life: Sequence[Scrape]) -> Iterator[str]:
    """The lines that `promtool tsdb create-blocks-from openmetrics` reads, without the last."""
    for scrape in life:
        yield from (f"{series} {value} {scrape.at:.0f}\n" for series, value in scrape.samples.items())


def input_series(life: Sequence[Scrape]) -> Iterator[dict[str, str]]:
    """The same as promtool tests rules with it: there time begins at 0, and so do timestamps."""
    for series in life[-1].samples:
        values = [float(scrape.samples[series]) for scrape in life]
        if "timestamp_seconds" in series:
            values = [value and value - EPOCH for value in values]  # 0 is what never happened
        runs = [f"{value:.12g}+0x{len(list(run)) - 1}" for value, run in groupby(values)]
        yield {"series": series, "values": " ".join(["_", *runs])}  # the first scrape is not at 0


def write(directory: Path, name: str, pod: str) -> None:
    """That life of that pod in both forms."""
    life = scrapes(name, pod)
    path = directory / f"{name}.{pod}.om"
    with path.with_suffix(".om").open("w") as file:
        file.writelines(openmetrics(life))
    path.with_suffix(".json").write_text(json.dumps(list(input_series(life))))


def write_all(directory: Path, names: Sequence[str] = tuple(STORIES)) -> None:
    """All of these lives, two at a time: what is virtual in them is time, not work."""
    pairs = list(product(names, PODS))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        lives, pods = zip(*pairs, strict=True)
        list(pool.map(write, [directory] * len(pairs), lives, pods))


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    write_all(Path(sys.argv[1]), sys.argv[2:] or tuple(STORIES))
