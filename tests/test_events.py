"""The catalogue of events: every line of the log is in its schema, and no sentence names what is for the log alone."""

from __future__ import annotations

import json
import logging
import string
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sidecar import events as e
from sidecar import log
from sidecar.emulator import Fault
from sidecar.kube.certificates import CertificateDistrusted, CertificateExpired, CertificateFailed, CertificateLoaded
from sidecar.kube.reviews import PodDenied
from sidecar.kube.webhook import ClusterDoubted, WebhookStarted
from sidecar.model import Claims, Kind, Phase
from tests.builders import failure, target
from tests.harness import Life, in_virtual_time
from tests.test_outages import OUTAGES
from tools.events import EVENTS, SCHEMA, facts, levels

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
CLAIMS = Claims(
    issuer="the-issuer", subject="the-subject", audience=("the-audience",), expiration=2e9, session_name="the-name"
)
# What facts there can be on a line beside those of any event.
HEAD = {"time", "level", "message", "event"}


def attempt(**changes: Any) -> e.Attempt:
    made = {"hop": target().hop, "targets": ("default",), "region": "eu-west-1", "seconds": 0.1, "request_id": "the-id"}
    return e.Attempt(**{**made, **changes})


def failed(**changes: Any) -> e.HopFailed:
    said = {"attempt": attempt(), "failure": failure(Kind.DENIED), "failures": 1, "retry_in": 2.0, "repeated": False}
    return e.HopFailed(**{**said, "claims": CLAIMS, **changes})


def succeeded(**changes: Any) -> e.HopSucceeded:
    said = {
        "lifetime": 3600.0,
        "expiration": "2033-05-18T03:33:20+00:00",
        "access_key_id": "the-key",
        "arn": "the-session",
    }
    return e.HopSucceeded(**{"attempt": attempt(), "packed": 7, **said, **changes})


def moved(before: Phase, after: Phase) -> e.PhaseChanged:
    return e.PhaseChanged(target="default", before=before, after=after, remaining=60.0)


# Every event, once at every level that it has, and once without every fact that it need not have.
SAMPLES: tuple[e.Event, ...] = (
    e.Started(version="1", targets=("a", "b"), warnings=()),
    e.Started(version="1", targets=("a",), warnings=("odd",)),
    e.Listening(face="status", addresses=("*:9912",)),
    e.TokenRead(path="/token", claims=CLAIMS, rotated=True),
    e.TokenFailed(path="/token", reason="missing", detail="no such file"),
    succeeded(),
    succeeded(packed=None, attempt=attempt(request_id=None)),
    failed(),
    failed(repeated=True),
    failed(claims=None, attempt=attempt(region=None, request_id=None)),
    moved(Phase.EMPTY, Phase.FRESH),
    moved(Phase.FRESH, Phase.STALE),
    moved(Phase.STALE, Phase.EXPIRED),
    *(e.Skewed(seconds=70.0, severity=severity) for severity in ("info", "warning", "error")),
    e.RefreshAsked(granted=True),
    e.StateRestored(hops=1, written=2),
    e.StateIgnored(path="/state", reason="of another boot"),
    e.CredentialsFileFailed(path="/file", reason="no space"),
    e.CredentialsFileWritten(path="/file"),
    e.HandlerFailed(face="status", error="ZeroDivisionError", where="a:1 b"),
    e.Stopping(drain=0.0),
    WebhookStarted(version="1", image="credential-sidecar:1"),
    ClusterDoubted(doubt="the API server does not answer"),
    PodDenied(namespace="shop", name="orders-", reason="no role"),
    CertificateLoaded(folder="/tls", serial="0a", names=("a", "b"), expiration="2033-05-18T03:33:20+00:00"),
    CertificateFailed(folder="/tls", reason="it has expired"),
    CertificateExpired(folder="/tls", expiration="2033-05-18T03:33:20+00:00"),
    CertificateDistrusted(alert="unknown CA"),
)


def lines(text: str) -> Iterator[dict[str, Any]]:
    """The lines of a log, each of them in the schema."""
    for line in text.splitlines():
        said = json.loads(line)
        assert [error.message for error in VALIDATOR.iter_errors(said)] == [], line
        assert datetime.fromisoformat(said["time"]).tzinfo
        yield said


@pytest.mark.usefixtures("_logging")
def test_every_event_at_every_level_is_in_the_schema_and_the_schema_has_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    observe = log.subscriber("debug", "json")
    for event in SAMPLES:
        observe(event)
    seen: dict[str, set[str]] = {}
    told: dict[str, set[str]] = {}
    for line in lines(capfd.readouterr().err):
        seen.setdefault(line["event"], set()).add(line["level"])
        told.setdefault(line["event"], set()).update(line.keys() - HEAD)
    assert seen == {event.__name__: {*levels(event)} for event in EVENTS}
    assert told == {event.__name__: {fact.name for fact in facts(event)} for event in EVENTS}


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    "change",
    [
        {"event": "HopFellOver"},
        {"level": "error"},
        {"hop": "2"},
        {"role": None},
        {"failures": 1.5},
        {"kind": "another"},
        {"request": "r"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_line_that_is_not_documented_is_not_in_the_schema(
    change: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    log.subscriber("debug", "json")(failed())
    (line,) = lines(capfd.readouterr().err)
    assert not VALIDATOR.is_valid({**line, **change})
    assert not VALIDATOR.is_valid({name: value for name, value in line.items() if name not in change} | {"a": 1})


@pytest.mark.usefixtures("_logging")
@in_virtual_time
async def test_every_line_of_a_life_with_every_fault_is_in_the_schema(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    faces = {"SIDECAR_STATE_DIR": str(tmp_path / "state"), "SIDECAR_IMDS_LISTEN": "127.0.0.1:0"}
    async with Life(tmp_path, faces, issued_life=150, observe=log.subscriber("debug", "json")) as life:
        for outage in OUTAGES.values():
            await life.until(lambda: life.is_served, within=400)
            life.sts.fault = outage.fault
            life.kubelet.project()
            await life.passes(200)
            life.sts.fault = Fault.none()
            life.kubelet.project("garbage that is no token")
            await life.passes(3)
            life.kubelet.project()
        for life.step in (100.0, 300.0, 0.0):  # the node's clock is set
            life.daemon.refresher.ask()
            await life.passes(30)
    told = {line["event"] for line in lines(capfd.readouterr().err)}
    assert told >= {"Started", "Listening", "TokenRead", "TokenFailed", "HopSucceeded", "HopFailed", "PhaseChanged"}
    assert told >= {"Skewed", "RefreshAsked", "Stopping"}


@pytest.mark.usefixtures("_logging")
def test_what_other_libraries_say_and_the_last_line_of_a_crash_are_in_the_schema(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log.subscriber("debug", "json")
    logging.getLogger("asyncio").warning("slow")
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("x"), None)
    other, last = lines(capfd.readouterr().err)
    assert (other["logger"], other.get("runbook")) == ("asyncio", None)
    assert (last["logger"], last["runbook"]) == ("sidecar", "docs/runbook.md#handlerfailed")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_no_sentence_names_what_is_for_the_log_alone(event: type[e.Event]) -> None:
    named = {name for _, name, _, _ in string.Formatter().parse(event.says) if name}
    assert named <= {fact.name for fact in facts(event)} - e.DISCREET


def test_a_sentence_cannot_name_what_is_for_the_log_alone() -> None:
    class Loud(e.Event, says="with {access_key_id}"):
        """A slip."""

        access_key_id: str

    with pytest.raises(KeyError, match="access_key_id"):
        e.sentence(Loud(access_key_id="ASIA"))


def test_what_everybody_is_told_has_none_of_the_tokens_words_and_no_key() -> None:
    told = "\n".join(map(e.sentence, SAMPLES))
    assert len(told.splitlines()) == len(SAMPLES)
    assert "the-" not in told
