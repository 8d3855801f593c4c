"""A fleet in a real Prometheus: what rules and dashboard ask, how many series answer, and how long it takes.

    python -m tests.grafana.fleet [PODS]

The pods of the recorded lives, over and over, with the labels that scraping gives to each, go by remote write into a
Prometheus of its own: half an hour as it is scraped each 30 seconds, the end of it in the future, so that Prometheus'
own clock is within. What the rules record is worked out once and held for three hours, which is what a dashboard shows.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from bench.stage import memory, processor_seconds
from tests.grafana import remote
from tests.grafana.lives import MINUTE, PODS, STORIES, write_all
from tests.grafana.panels import filled, panels, variables
from tests.grafana.prometheus import Prometheus, prometheus
from tests.harness import EPOCH
from tools.alerts import ALERTS, RULES

FLEET: Final = 10_000
SCRAPE: Final = 30  # seconds, as grafana/provisioning has it
SHOWN: Final = 180 * MINUTE  # by a dashboard that is opened
CLUSTERS: Final = 4
TEAM: Final = 50  # pods of a namespace
_WORKLOADS: Final = ("orders", "billing", "search")
# Of a life: when most goes wrong in it, what is before (the longest look back of a rule is ten minutes), and what is
# after, in which a slow machine must be through.
_MOMENT: Final = EPOCH + 110 * MINUTE
_BEFORE, _AFTER = 15 * MINUTE, 15 * MINUTE
FLAGS: Final = (
    "--web.enable-remote-write-receiver",
    "--storage.tsdb.min-block-duration=8h",  # half of it is how old a sample may be that arrives
    "--storage.tsdb.max-block-duration=8h",
)
CONFIG: Final = "{}\n"
_GLANCE: Final = 1.0  # seconds between two looks whether the rules were evaluated


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question: the series that answered, within how many seconds, and how many of a processor's."""

    question: str
    found: Sequence[Any]
    seconds: float
    processor: float

    @property
    def series(self) -> int:
        """How many."""
        return len(self.found)

    def __str__(self) -> str:
        return f"{self.question:55} {self.series:7,} {self.seconds:8.2f} {self.processor:8.2f}"


def timed(server: Prometheus, question: str, ask: Callable[[], Sequence[Any]]) -> Answer:
    """Asks."""
    began, worked = time.perf_counter(), processor_seconds(server.pid)
    found = ask()
    seconds, processor = time.perf_counter() - began, processor_seconds(server.pid) - worked
    return Answer(question=question, found=found, seconds=seconds, processor=processor)


def load(server: Prometheus, lives: Path, pods: int, team: int = TEAM) -> float:
    """Gives `server` so many pods, `team` in a namespace; answers the moment that is in the midst of their lives."""
    now = time.time()
    told = {(story, pod): _told(lives / f"{story}.{pod}.om", now) for story in STORIES for pod in PODS}
    remote.write(server, _scraped(told, pods, team))
    return now


def _told(life: Path, now: float) -> list[tuple[dict[str, str], bytes]]:
    """The series of a life by their labels, with their samples as they are sent."""
    shift = now - _MOMENT
    found: dict[str, list[tuple[float, float]]] = {}
    with life.open() as lines:
        for line in lines:
            series, value, at = line.rsplit(" ", 2)
            instant = float(at)
            if -_BEFORE <= instant - _MOMENT <= _AFTER and (instant - EPOCH) % SCRAPE == 0:
                later = shift if "timestamp_seconds" in series and float(value) else 0
                found.setdefault(series, []).append((instant + shift, float(value) + later))
    return [(_labels(series), remote.samples(values)) for series, values in found.items()]


def _labels(series: str) -> dict[str, str]:
    name, _, rest = series.removesuffix("}").partition("{")
    return {"__name__": name, **{key: value.strip('"') for key, value in (each.split("=") for each in rest.split(","))}}


def _scraped(
    told: Mapping[tuple[str, str], list[tuple[dict[str, str], bytes]]], pods: int, team: int
) -> Iterator[bytes]:
    stories, names = tuple(STORIES), tuple(PODS)
    for number in range(pods):
        namespace = number // team
        added = {
            "cluster": f"cluster-{namespace % CLUSTERS}",
            "namespace": f"team-{namespace:03}",
            "pod": f"{_WORKLOADS[number % len(_WORKLOADS)]}-6f5d9c7b84-{number:05}",
            "instance": f"10.0.{number >> 8}.{number & 255}:9912",
        }
        life = told[stories[namespace // CLUSTERS % len(stories)], names[number % len(names)]]
        yield from (remote.series(labels | added, samples) for labels, samples in life)


def record(server: Prometheus, now: float) -> Iterator[Answer]:
    """Asks all that the rules ask, and what they record is held as it is for as long as a dashboard shows."""
    over = range(round(now) - SHOWN, round(now), SCRAPE)
    for rule in (rule for group in yaml.safe_load((ALERTS / RULES).read_text())["groups"] for rule in group["rules"]):
        name = rule.get("record")
        answer = timed(server, name or rule["alert"], partial(server.at, rule["expr"], now))
        if name:
            held = [(each.labels, remote.samples((at, each.values[0][1]) for at in over)) for each in answer.found]
            remote.write(server, (remote.series({**labels, "__name__": name}, samples) for labels, samples in held))
        yield answer


def evaluated(server: Prometheus, home: Path) -> Iterator[str]:
    """Gives the rules to Prometheus itself: how long a group takes, with the sentences of the alerts."""
    (home / "prometheus.yaml").write_text(yaml.safe_dump({"rule_files": [str(ALERTS / RULES)]}))
    os.kill(server.pid, signal.SIGHUP)
    while not (found := server.get("rules")["groups"]) or not all(each["evaluationTime"] for each in found):
        time.sleep(_GLANCE)
    for group in found:
        active = sum(len(rule.get("alerts", ())) for rule in group["rules"])
        yield f"{group['name']:55} {active:7,} {group['evaluationTime']:8.2f}"


def shown(server: Prometheus, now: float) -> Iterator[Answer]:
    """What the fleet's dashboard asks when it is opened, of all that there is."""
    everything = partial(filled, life=".*", cluster=".*")
    for panel in (each for each in panels() if each.dashboard == "fleet"):
        for letter, (query, _) in panel.queries.items():
            if panel.kind in {"stat", "table"}:
                yield timed(server, panel.title, partial(server.at, everything(query), now))
            else:
                ask = partial(server.over, everything(query), now - SHOWN, now, SCRAPE)
                yield timed(server, f"{panel.title} {letter}, 3 h", ask)
    for name, selector, _ in variables("fleet"):
        asked = urlencode({"match[]": everything(selector), "start": now - SHOWN, "end": now})
        yield timed(server, f"${name}", partial(server.get, f"series?{asked}"))


def _say(title: str, *lines: object) -> None:
    columns = f"{'series':>7} {'seconds':>8} {'processor':>9}" if lines else ""
    print(f"\n{title:55} {columns}".rstrip(), *lines, sep="\n", flush=True)


def main(argv: list[str]) -> int:
    """Measures a fleet and prints it."""
    pods = int(argv[0]) if argv else FLEET
    with TemporaryDirectory() as folder:
        write_all(lives := Path(folder))
        with prometheus(home := lives / "prometheus", CONFIG, *FLAGS) as server:
            began = time.perf_counter()
            now = load(server, lives, pods)
            held = server.get("status/tsdb")["headStats"]["numSeries"]
            _say(f"{pods:,} pods, {held:,} series, loaded in {time.perf_counter() - began:.0f} s")
            _say("rules, one by one", *record(server, now))
            _say("groups as Prometheus evaluates them, with their alerts", *evaluated(server, home))
            _say("the dashboard", *shown(server, time.time()))
            _say(f"Prometheus: {memory(server.pid)['Rss'] / 1000:.1f} GB; load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
