"""What Prometheus scrapes, from the first moment on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from sidecar.emulator import Fault
from sidecar.metrics import DEFINITIONS, PREFIX
from sidecar.model import Phase
from tests.builders import REGION
from tests.harness import Life, in_virtual_time
from tests.wire import Response, ask, last
from tools.metrics import VALUES

# What a Prometheus of today asks for, and one that knows the text format alone.
NEWEST = (
    "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2"
)
OLDEST = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


async def scraped(life: Life) -> str:
    """The text format, as a scrape gets it."""
    return (await life.status("/metrics")).body.decode()


def _openmetrics(response: Response) -> list[Metric]:
    return list(openmetrics(response.body.decode()))  # type: ignore[no-untyped-call]  # the one parser without


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of ours by name and labels."""
    families: list[Metric] = list(plain(text))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


@in_virtual_time
async def test_every_series_exists_from_the_first_scrape_and_none_comes_later(tmp_path: Path) -> None:
    async with Life(tmp_path, issued_life=150) as life:
        first = await scraped(life)
        await life.until(lambda: life.is_served)
        for fault in (Fault.error("AccessDenied", 403), Fault.error("NobodyKnowsThisOne"), Fault.hang()):
            life.sts.fault = fault
            life.kubelet.project()
            await life.passes(100)
            await life.request()
        last_one = await scraped(life)
    assert samples(first).keys() == samples(last_one).keys()
    names = {family.name for family in plain(first)}
    assert {PREFIX + each.name.removesuffix("_total") for each in DEFINITIONS} <= names
    assert not any(name.endswith("_created") for name, _ in samples(first))
    assert sum(1 for line in first.splitlines() if not line.startswith("#")) < 150


@in_virtual_time
async def test_every_value_of_a_label_is_one_that_is_documented(tmp_path: Path) -> None:
    async with Life(tmp_path, issued_life=150) as life:
        await life.until(lambda: life.is_served)
        for fault in (Fault.error("AccessDenied", 403), Fault.error("NobodyKnowsThisOne"), Fault.hang()):
            life.sts.fault = fault
            await life.passes(100)
            await life.request()
            await life.raw(b"\0\r\n\r\n")
        found = samples(await scraped(life))
    bounds = {"target": {"default"}, "hop": {"1", "2"}, "region": {REGION}}
    for name, said in VALUES.items():
        bounds.setdefault(name.split()[0], set()).update(() if isinstance(said, str) else said)
    bounded = [(label, value) for _, labels in found for label, value in labels if label not in ("le", "version")]
    assert len(bounded) > 100
    assert [(label, value) for label, value in bounded if value not in bounds[label]] == []


@in_virtual_time
async def test_each_scraper_gets_the_format_that_it_asks_for(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        with life.clock.held():
            newest, oldest, anybody = [
                await ask(life.port("status"), last("/metrics", f"Accept: {accept}"))
                for accept in (NEWEST, OLDEST, "*/*")
            ]
    assert newest.fields["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert newest.body.endswith(b"# EOF\n")
    for plainly in (oldest, anybody):
        assert plainly.fields["content-type"].startswith("text/plain; version=0.0.4")
        assert b"# EOF" not in plainly.body
    read = (_openmetrics(newest), list(plain(oldest.body.decode())))
    one, other = ({sample.name for family in families for sample in family.samples} for families in read)
    assert one == other


@in_virtual_time
async def test_a_code_that_nobody_knows_is_other(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        life.sts.fault = Fault.error("NobodyKnowsThisOne")
        life.daemon.refresher.ask()
        await life.passes(10)
        found = samples(await scraped(life))
    name = f"{PREFIX}hop_failures_total"
    assert found[name, frozenset({("target", "default"), ("hop", "2"), ("code", "other")})] > 0
    assert not any("NobodyKnowsThisOne" in str(labels) for _, labels in found)


@in_virtual_time
async def test_phases_are_one_hot_through_a_whole_life(tmp_path: Path) -> None:
    async with Life(tmp_path, issued_life=150) as life:
        seen = []
        for instant in (0, 5, 80, 200):
            await life.passes(instant)
            if instant == 5:
                life.sts.fault = Fault.http(500)
            found = samples(await scraped(life))
            hot = [p for p in Phase if found[f"{PREFIX}phase", frozenset({("target", "default"), ("phase", p)})] == 1]
            assert len(hot) == 1
            seen += hot
    assert seen[1:] == [Phase.FRESH, Phase.STALE, Phase.EXPIRED]


@in_virtual_time
async def test_d3_the_expiration_of_a_target_is_its_last_hops(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_SOURCE_DURATION": "1800"}) as life:
        await life.until(lambda: life.is_served)
        found = samples(await scraped(life))
        hops = life.config.target().hop.chain
        ends = [life.daemon.refresher.ledger.of(hop).session for hop in hops]
    first, second = (end.credentials.expiration.timestamp() for end in ends if end)
    assert second > first
    target = frozenset({("target", "default")})
    assert found[f"{PREFIX}credentials_expiration_timestamp_seconds", target] == second
    for hop, expiration in (("1", first), ("2", second)):
        assert found[f"{PREFIX}hop_expiration_timestamp_seconds", target | {("hop", hop)}] == expiration


@in_virtual_time
async def test_openmetrics_is_what_its_own_parser_reads(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        with life.clock.held():
            response = await ask(life.port("status"), last("/metrics", "Accept: application/openmetrics-text"))
    assert response.fields["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in _openmetrics(response)} > {f"{PREFIX}phase"}


@in_virtual_time
async def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt install prometheus")
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        text = await scraped(life)
    ended = subprocess.run(["promtool", "check", "metrics"], input=text, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
