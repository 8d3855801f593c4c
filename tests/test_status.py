from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from sidecar.http import Limits
from sidecar.ledger import Ledger, Picture
from sidecar.model import Kind, Target
from sidecar.page import Page
from sidecar.schedule import FLOOR
from sidecar.status import _SCRIPT, _STYLE, STUCK, Status
from tests.builders import EXPIRATION, HOUR, ROLE_A, ROLE_B, chain, failure, held, target, targets
from tests.wire import ask, last, serving

# The instant 0 of the sidecar's clock, in Unix seconds: an hour before the builders' sessions end.
ZERO = EXPIRATION - HOUR
TARGET = target()


@dataclass
class Outside:
    """What a status listener is told of the world, changed by hand."""

    ledger: Ledger
    now: float = 0.0
    turned: float = 0.0
    skew: float | None = None
    is_stopping: bool = False
    accepted: list[str] = field(default_factory=list)
    events: tuple[dict[str, str], ...] = ()

    def look(self) -> Picture:
        return Picture(
            ledger=self.ledger,
            now=self.now,
            wall=ZERO + self.now,
            turned=self.turned,
            skew=self.skew,
            is_stopping=self.is_stopping,
        )

    def render(self, accept: str) -> tuple[bytes, str]:
        self.accepted.append(accept)
        return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A status listener behind a real server."""

    outside: Outside
    port: int

    async def get(self, path: str) -> tuple[int, dict[str, object]]:
        """Status and JSON of `path`."""
        response = await ask(self.port, last(path))
        assert response.fields["content-type"] == "application/json"
        return response.status, dict(response.document)


@asynccontextmanager
async def room(ledger: Ledger | None = None, *served: Target) -> AsyncIterator[Room]:
    outside = Outside(ledger=ledger or Ledger())
    status = Status(served or (TARGET,), "1.2.3", outside.look, outside.render, lambda: outside.events)
    async with serving(status.handle, Limits(connections=64)) as server:
        yield Room(outside=outside, port=server.port)


def walked(of: Target = TARGET) -> Ledger:
    return held(*of.hop.chain)


def broken(kind: Kind = Kind.DENIED) -> Ledger:
    return Ledger().failed(TARGET.hop.chain[0], failure(kind), now=0.0, chance=0.0)


# Liveness


@pytest.mark.parametrize(
    "ledger", [Ledger(), broken(), broken(Kind.TOKEN), walked()], ids=["new", "denied", "no token", "good"]
)
async def test_d18_liveness_never_looks_at_sts(ledger: Ledger) -> None:
    async with room(ledger) as r:
        for now in (0.0, HOUR, 100 * HOUR):
            r.outside.now = r.outside.turned = now
            assert await r.get("/livez") == (200, {"status": "alive"})


async def test_d18_liveness_is_red_when_the_loop_no_longer_turns() -> None:
    async with room(walked()) as r:
        r.outside.turned, r.outside.now = 100.0, 100.0 + STUCK - 0.1
        assert (await r.get("/livez"))[0] == 200
        r.outside.now = 100.0 + STUCK
        status, document = await r.get("/livez")
        assert (status, document["code"]) == (503, "Stuck")


# Readiness


async def test_d18_ready_means_that_every_target_can_be_served_now() -> None:
    one, two = targets(2)
    async with room(Ledger(), one, two) as r:
        assert (await r.get("/readyz"))[0] == 503
        r.outside.ledger = held(*one.hop.chain)
        status, document = await r.get("/readyz")
        assert (status, document["code"]) == (503, "NotReady")
        assert two.name in str(document["message"])
        assert one.name not in str(document["message"])
        r.outside.ledger = held(*one.hop.chain, two.hop)
        assert await r.get("/readyz") == (200, {"status": "ready"})


async def test_d18_readiness_of_one_target_does_not_ask_for_the_others() -> None:
    one, two = targets(2)
    async with room(held(*one.hop.chain), one, two) as r:
        assert (await r.get(f"/readyz/{one.name}"))[0] == 200
        assert (await r.get(f"/readyz/{two.name}"))[0] == 503
        assert (await r.get("/readyz/nobody"))[0] == 404


async def test_d18_readiness_ends_at_the_floor_and_not_with_a_failure() -> None:
    async with room(walked().failed(TARGET.hop, failure(Kind.DENIED), now=1.0, chance=0.0)) as r:
        r.outside.now = HOUR - FLOOR - 0.1
        assert (await r.get("/readyz"))[0] == 200
        r.outside.now = HOUR - FLOOR
        status, document = await r.get("/readyz")
        assert (status, document["code"]) == (503, "AccessDenied")


async def test_readiness_is_red_while_stopping_and_liveness_is_not() -> None:
    async with room(walked()) as r:
        r.outside.is_stopping = True
        status, document = await r.get("/readyz")
        assert (status, document["code"]) == (503, "Stopping")
        assert (await r.get("/livez"))[0] == 200


# The document


async def test_status_tells_phase_and_instants_of_every_hop() -> None:
    async with room(walked()) as r:
        r.outside.now, r.outside.skew = 60.0, -1.23456
        status, document = await r.get("/status")
        first = {
            "role": ROLE_A,
            "phase": "fresh",
            "expiration": "2033-05-18T03:33:20Z",
            "refreshed": "2033-05-18T02:33:20Z",
            "due": "2033-05-18T03:03:20Z",
        }
        second = {**first, "role": ROLE_B}
        assert status == 200
        assert document == {
            "version": "1.2.3",
            "started": "2033-05-18T02:33:20Z",
            "stopping": False,
            "skew_seconds": -1.235,
            "targets": [{"name": "default", **second, "error": None, "hops": [first, second]}],
            "events": [],
        }


async def test_phases_are_those_of_the_moment_of_asking() -> None:
    async with room(walked()) as r:
        seen = []
        for now in (0.0, HOUR / 2, HOUR - FLOOR):
            r.outside.now = now
            document = (await r.get("/status"))[1]
            seen.append(document["targets"][0]["phase"])  # type: ignore[index]
        assert seen == ["fresh", "stale", "expired"]


async def test_nothing_that_has_not_happened_has_an_instant() -> None:
    async with room() as r:
        document = (await r.get("/status"))[1]
        hop = document["targets"][0]["hops"][0]  # type: ignore[index]
        assert hop == {"role": ROLE_A, "phase": "empty", "expiration": None, "refreshed": None, "due": None}
        assert document["skew_seconds"] is None


async def test_an_error_is_told_by_hop_class_code_and_our_words() -> None:
    wrong = replace(failure(Kind.DENIED), hint="look at the trust policy")
    ledger = Ledger()
    for now in (0.0, 100.0):
        ledger = ledger.failed(TARGET.hop.chain[0], wrong, now=now, chance=0.0)
    async with room(ledger) as r:
        r.outside.now = 100.0
        document = (await r.get("/status"))[1]
        assert document["targets"][0]["error"] == {  # type: ignore[index]
            "hop": 1,
            "class": "denied",
            "code": "AccessDenied",
            "message": "look at the trust policy",
            "runbook": "docs/runbook.md#accessdenied-on-hop-1",
            "since": "2033-05-18T02:33:20Z",
            "failures": 2,
        }


async def test_d16_no_page_tells_a_secret_or_what_only_iam_should_know() -> None:
    odd = chain(
        external_id="the-external-id",
        source_identity="the-source-identity",
        tags=(("the-key", "the-value"),),
        policy='{"the":"policy"}',
        policy_arns=("arn:aws:iam::aws:policy/the-policy-arn",),
    )
    async with room(held(*odd.chain), target(last=odd)) as r:
        for path in ("/", "/livez", "/readyz", "/readyz/default", "/status", "/metrics", "/nowhere"):
            body = (await ask(r.port, last(path))).body.decode()
            assert not re.search(r"ASIA|secret/access|session-token|the-|the(?:\"|&quot;)", body), path


# The page


async def test_the_page_is_drawn_from_the_status_at_the_moment_of_asking() -> None:
    async with room(walked()) as r:
        r.outside.now = 60.0
        r.outside.events = (
            {"at": "2033-05-18T02:33:20Z", "level": "info", "event": "Stopping", "message": "stopping"},
        )
        response = await ask(r.port, last("/"))
        document = (await r.get("/status"))[1]
    drawn = Page(_STYLE, _SCRIPT).draw(document, ZERO + 60.0)
    assert (response.status, response.body.decode()) == (200, drawn)
    assert document["events"] == list(r.outside.events)


async def test_the_page_is_kept_by_nobody_framed_by_nobody_and_runs_its_own_script_alone() -> None:
    async with room() as r:
        fields = (await ask(r.port, last("/"))).fields
        assert fields["content-type"] == "text/html; charset=utf-8"
        assert fields["cache-control"] == "no-store"
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer"
        assert fields["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in fields["content-security-policy"]


# The listener


async def test_metrics_are_rendered_for_what_is_accepted() -> None:
    async with room() as r:
        response = await ask(r.port, last("/metrics", "Accept: application/openmetrics-text"))
        assert (response.status, response.body) == (200, b"up 1\n")
        assert response.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        await ask(r.port, last("/metrics"))
        assert r.outside.accepted == ["application/openmetrics-text", ""]


@pytest.mark.parametrize("host", ["10.1.2.3:9912", "[2001:db8::7]:9912", "pod.namespace.svc"])
async def test_kubelet_and_prometheus_come_by_any_host(host: str) -> None:
    async with room(walked()) as r:
        assert (await ask(r.port, last("/readyz", host=host))).status == 200


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/status"])
async def test_d12_only_get_and_head_are_answered(path: str) -> None:
    async with room(walked()) as r:
        assert (await ask(r.port, last(path, method="HEAD"))).status == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = await ask(r.port, last(path, method=method))
            assert (response.status, response.fields["allow"]) == (405, "GET, HEAD")


async def test_an_unknown_path_is_404_in_json() -> None:
    async with room() as r:
        assert (await r.get("/v1/credentials"))[0] == 404
        assert (await r.get("/readyz/?verbose"))[0] == 503
