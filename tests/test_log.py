"""The log: JSON, one line per change of state; text where a person looks; nothing of what others would say."""

from __future__ import annotations

import json
import logging
import os
import pty
import sys
from pathlib import Path

import pytest

from sidecar import events as e
from sidecar import log
from sidecar.emulator import Fault
from sidecar.model import Claims, Kind, Phase
from tests.builders import failure, target
from tests.harness import Life, in_virtual_time

pytestmark = pytest.mark.usefixtures("_logging")


def written(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


@in_virtual_time
async def test_d32_a_state_that_stays_is_one_line_whatever_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Life(tmp_path, observe=log.subscriber("info", "json")) as life:
        await life.until(lambda: life.is_served)
        for _ in range(100):
            await life.request()
        await life.passes(1000)
        first = written(capfd)
        life.sts.fault = Fault.http(500)
        await life.passes(900)
        outage = written(capfd)
    assert [line["event"] for line in first] == [
        "Started",
        "Listening",
        "Listening",
        "TokenRead",
        "HopSucceeded",
        "HopSucceeded",
        "PhaseChanged",
    ]
    assert [line["event"] for line in outage] == ["HopFailed"]


def test_a_line_is_json_with_time_level_message_and_facts(capfd: pytest.CaptureFixture[str]) -> None:
    log.subscriber("info", "json")(e.Listening(face="status", addresses=("0.0.0.0:9912",)))
    (line,) = written(capfd)
    assert list(line) == ["time", "level", "message", "event", "face", "addresses"]
    assert line["level"] == "info"
    assert str(line["time"]).endswith("+00:00")


def test_a_terminal_gets_text(tmp_path: Path) -> None:
    reader, writer = pty.openpty()
    stderr = sys.stderr
    with open(writer, "w", encoding="utf-8") as terminal:
        sys.stderr = terminal
        try:
            observe = log.subscriber("info", None)
        finally:
            sys.stderr = stderr
        observe(e.Stopping(drain=0.0))
        terminal.flush()
        said = os.read(reader, 4096).decode()
    os.close(reader)
    assert "info" in said.lower()
    assert "stopping" in said
    assert not said.startswith("{")


def test_what_failed_leads_to_the_runbook(capfd: pytest.CaptureFixture[str]) -> None:
    observe = log.subscriber("info", "json")
    observe(attempted(repeated=False))
    observe(e.TokenFailed(path="/token", reason="missing", detail="no such file"))
    places = [line["runbook"] for line in written(capfd)]
    assert places == ["docs/runbook.md#accessdenied-on-hop-1", "docs/runbook.md#tokenmissing"]


def test_levels_below_the_one_asked_for_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    log.subscriber("error", "json")(e.Stopping(drain=0.0))
    assert written(capfd) == []


def attempted(*, repeated: bool) -> e.HopFailed:
    claims = Claims(issuer="the issuer", subject="s", audience=("a", "b"), expiration=2e9, session_name="n")
    made = e.Attempt(hop=target().hop.chain[0], targets=("default",), region="r", seconds=0.1, request_id=None)
    failed = failure(Kind.DENIED)
    return e.HopFailed(attempt=made, failure=failed, failures=1, retry_in=2.0, repeated=repeated, claims=claims)


def moved(before: Phase, after: Phase) -> e.PhaseChanged:
    return e.PhaseChanged(target="default", before=before, after=after, remaining=60.0)


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (e.Started(version="1", targets=("a", "b"), warnings=()), "info", "1 serves a, b"),
        (e.Started(version="1", targets=("a", "b"), warnings=("odd", "odder")), "warning", "1 serves a, b; odd; odder"),
        (attempted(repeated=False), "warning", "; the token: issuer the issuer, audience a, b, subject s"),
        (attempted(repeated=True), "debug", "again in 2 s"),
        (moved(Phase.EMPTY, Phase.FRESH), "info", "default is fresh with 60 s left"),
        (moved(Phase.FRESH, Phase.STALE), "debug", "default is stale"),
        (moved(Phase.STALE, Phase.FRESH), "debug", "default is fresh"),
        (moved(Phase.STALE, Phase.EXPIRED), "error", "default is expired"),
        (moved(Phase.EXPIRED, Phase.FRESH), "info", "default is fresh"),
        (e.Skewed(seconds=-0.2, severity="info"), "info", "is -0 s ahead of the node's"),
        (e.Skewed(seconds=300.0, severity="error"), "error", "+300 s ahead of the node's: signatures fail"),
        (e.RefreshAsked(granted=False), "info", "granted: False"),
    ],
)
def test_a_line_is_as_loud_as_what_it_says(
    event: e.Event, level: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log.subscriber("debug", "json")(event)
    (line,) = written(capfd)
    assert line["level"] == level
    assert words in str(line["message"])


@pytest.mark.parametrize("name", ["botocore", "aiobotocore.credentials", "aiohttp", "asyncio"])
def test_d16_other_libraries_are_heard_from_warnings_up_and_without_values(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log.subscriber("debug", "json")
    foreign = logging.getLogger(name)
    foreign.debug("request with %s", "a secret")
    foreign.info("request with %s", "a secret")
    try:
        raise ValueError("a secret")
    except ValueError:
        foreign.exception("failed with %s\nand a secret", "a secret")
    (line,) = written(capfd)
    assert line["logger"] == name
    assert "ValueError at" in str(line["message"])
    assert "a secret" not in json.dumps(line)


def test_d16_a_bug_that_ends_the_process_is_told_by_type_and_place_alone(capfd: pytest.CaptureFixture[str]) -> None:
    log.subscriber("debug", "json")
    try:
        raise ZeroDivisionError("a message that quotes a secret")
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    (line,) = written(capfd)
    assert line["level"] == "critical"
    assert str(line["message"]).startswith("ended by a bug: ZeroDivisionError at ")
    assert "secret" not in str(line)
