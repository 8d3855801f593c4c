"""A real Prometheus on loopback, and what is needed to ask it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final, Self

import pytest

from tests.grafana.lives import LENGTH, SCRAPE
from tests.harness import EPOCH
from tests.house import ROOT
from tests.ports import free_port
from tools.alerts import ALERTS, RULES

READY: Final = "Server is ready to receive web requests."
PATIENCE: Final = 120.0  # real seconds for an answer: of ten thousand pods, on a machine that has other work
_NOTHING_TO_SCRAPE: Final = "scrape_configs: []\n"
# What is recorded may be made of what is recorded: as often as that goes.
_DEPTH: Final = 2


def tool(name: str, *words: str | Path, place: Path = ROOT) -> str:
    """What `name` says; skips where there is none, and fails where it does."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name}: apt install prometheus")
    done = subprocess.run([name, *words], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One series of an answer: its labels, its values by Unix seconds."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """As the HTTP API writes it."""
        pairs = found.get("values") or [found["value"]]
        return cls(labels=found["metric"], values=tuple((float(at), float(value)) for at, value in pairs))


class Prometheus:
    """A running server."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def at(self, query: str, instant: float) -> list[Sample]:
        """The answer at one instant (Unix seconds)."""
        return self._samples("query", query=query, time=str(instant))

    def over(self, query: str, start: float, end: float, step: float) -> list[Sample]:
        """The answer over time."""
        return self._samples("query_range", query=query, start=str(start), end=str(end), step=str(step))

    def now(self, query: str) -> list[Sample]:
        """The answer now."""
        return self._samples("query", query=query)

    def get(self, path: str) -> Any:
        """What the API answers below `/api/v1/`."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=PATIENCE) as response:  # noqa: S310  # ours
            return json.load(response)["data"]

    def _samples(self, path: str, **asked: str) -> list[Sample]:
        return [Sample.of(each) for each in self.get(f"{path}?{urllib.parse.urlencode(asked)}")["result"]]


@contextmanager
def prometheus(home: Path, config: str = _NOTHING_TO_SCRAPE, *flags: str) -> Iterator[Prometheus]:
    """Starts a server whose data is in `home`/data, and ends it; `flags` are of its command line."""
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus: apt install prometheus")
    home.mkdir(exist_ok=True)
    (home / "prometheus.yaml").write_text(config)
    port = free_port()
    options = {
        "config.file": home / "prometheus.yaml",
        "storage.tsdb.path": home / "data",
        "storage.tsdb.retention.time": "100y",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items()), *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with closing(process.stderr) as log:
        said = _until(log, lambda line: READY in line)
        assert READY in said[-1], "".join(said)
        rest = Thread(target=log.read)  # its pipe must not fill
        rest.start()
        try:
            yield Prometheus(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            rest.join()
            process.wait(PATIENCE)


def _until(lines: Iterator[str], is_it: Callable[[str], bool]) -> list[str]:
    said = [""]
    for line in lines:
        said.append(line)
        if is_it(line):
            break
    return said


def load(home: Path, parts: Sequence[Path]) -> None:
    """Loads lives in OpenMetrics, and what the rules record of them, into the data of `home`."""
    home.mkdir(exist_ok=True)
    whole = home / "lives.om"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
        file.write(b"# EOF\n")
    tool("promtool", "tsdb", "create-blocks-from", "openmetrics", whole, home / "data")
    whole.unlink()
    start, end = EPOCH + SCRAPE, EPOCH + LENGTH
    for _ in range(_DEPTH):
        with prometheus(home) as server:
            range_ = (f"--start={start:.0f}", f"--end={end:.0f}", "--eval-interval=30s", f"--url={server.url}")
            words = ("tsdb", "create-blocks-from", "rules", *range_, "--output-dir", home / "data", RULES)
            tool("promtool", *words, place=ALERTS)  # when in a minute a group's turn is, is drawn by its file's name
