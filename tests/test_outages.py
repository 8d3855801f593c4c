"""An STS outage that ends two minutes before expiration is invisible to the workload, whatever its kind.

The promise has a budget. STS unavailable: an attempt in flight (10 s), the capped backoff (60 s), a poll (2 s) and two
calls (10 s) are 82 s from recovery to refresh, and 30 s remain above the floor: 112 s before expiration. STS denying:
the cap is 300 s, so 322 s and 352 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.emulator import Fault
from sidecar.events import HopFailed
from sidecar.schedule import FLOOR
from tests.harness import Life, in_virtual_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A way of failing: the code that clients read, and whether that is a denial."""

    fault: Fault
    code: str
    is_denial: bool = False

    @property
    def life(self) -> int:
        """Seconds: an outage long enough for the backoff to reach its cap, which for denials takes the whole hour."""
        return 3600 if self.is_denial else 1200

    @property
    def recovery(self) -> int:
        """Seconds before expiration at which STS is well again."""
        return 352 if self.is_denial else 120

    @property
    def patience(self) -> int:
        """Seconds from there to a refresh."""
        return (352 if self.is_denial else 112) - round(FLOOR)


_KEY = "Couldn't retrieve verification key from your identity provider"
OUTAGES = {
    "500": Outage(fault=Fault.http(500), code="BadAnswer"),
    "503": Outage(fault=Fault.error("ServiceUnavailable", 503), code="ServiceUnavailable"),
    "throttling": Outage(fault=Fault.error("Throttling"), code="Throttling"),
    "provider silent": Outage(fault=Fault.error("IDPCommunicationError"), code="IDPCommunicationError"),
    "verification key": Outage(fault=Fault.error("InvalidIdentityToken", message=_KEY), code="InvalidIdentityToken"),
    "invalid token": Outage(fault=Fault.error("InvalidIdentityToken"), code="InvalidIdentityToken", is_denial=True),
    "denied": Outage(fault=Fault.error("AccessDenied", 403), code="AccessDenied", is_denial=True),
    "garbage": Outage(fault=Fault.garbage(), code="BadAnswer"),
    "empty": Outage(fault=Fault.empty(), code="BadAnswer"),
    "truncated": Outage(fault=Fault.truncated(), code="ConnectionError"),
    "hang": Outage(fault=Fault.hang(), code="Timeout"),
    "reset": Outage(fault=Fault.reset(), code="ConnectionError"),
    "expired answer": Outage(fault=Fault.expired_session(), code="ShortSession"),
}
outages = pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)


@outages
@in_virtual_time
async def test_no_request_fails_in_an_outage_and_a_refresh_follows_recovery_in_time(
    outage: Outage, tmp_path: Path
) -> None:
    async with Life(tmp_path, issued_life=outage.life) as life:
        await life.until(lambda: life.is_served)
        before = life.schedule()
        await life.comes(before.due - 1)
        life.sts.fault = outage.fault
        recovery = before.expiration - outage.recovery
        await _served_until(life, recovery, every=7.0)
        life.sts.fault = Fault.none()
        assert len(life.happened(HopFailed)) > 5
        assert {failed.failure.code for failed in life.happened(HopFailed)} == {outage.code}
        await _served_until(life, recovery + outage.patience, every=1.0)
        assert before.expiration - FLOOR >= recovery + outage.patience
        assert life.schedule().refreshed > recovery
        assert life.schedule().streak is None


@in_virtual_time
async def test_the_budget_holds_where_an_attempt_in_flight_fails_after_recovery_and_every_call_is_slow(
    tmp_path: Path,
) -> None:
    async with Life(tmp_path, issued_life=1200, chance=0.999) as life:
        await life.until(lambda: life.is_served)
        before = life.schedule()
        life.latency = 4.9
        life.sts.fault = Fault.hang()
        await life.comes(before.expiration - 500)  # the source session still signs
        failures = life.schedule().failures
        await life.until(lambda: life.schedule().failures > failures, within=70)
        await life.comes(life.schedule().due + 4.95)  # the next attempt is in flight, and will come to nothing
        recovery = life.clock()
        life.sts.fault = Fault.none()
        await life.until(lambda: life.schedule().refreshed > recovery, within=82)
        assert life.schedule().refreshed - recovery > 60


async def _served_until(life: Life, end: float, *, every: float) -> None:
    for instant in _instants(life.clock(), end, every):
        await life.comes(instant)
        assert (await life.request()).status == 200


def _instants(start: float, end: float, every: float) -> Iterator[float]:
    """From `start` to `end`, both among them."""
    while start < end:
        yield start
        start += every
    yield end


@outages
@in_virtual_time
async def test_below_the_floor_an_error_names_the_cause_and_old_credentials_are_never_served(
    outage: Outage, tmp_path: Path
) -> None:
    async with Life(tmp_path, issued_life=150) as life:
        await life.until(lambda: life.is_served)
        before = life.schedule()
        life.sts.fault = outage.fault
        floor = before.expiration - FLOOR
        await life.comes(floor - 0.001)
        old = await life.request()
        assert old.status == 200
        await life.comes(floor)
        response = await life.request()
        assert (response.status, response.code) == (503, outage.code)
        began = life.schedule().streak
        assert began is not None
        await life.comes(began.since + 120)
        response = await life.request()
        assert (response.status, response.code) == (403 if outage.is_denial else 503, outage.code)
        life.sts.fault = Fault.none()
        await life.until(lambda: life.is_served, within=322)
        assert (await life.request()).document["AccessKeyId"] != old.document["AccessKeyId"]


@in_virtual_time
async def test_a_denial_that_follows_an_outage_is_no_403_before_it_is_two_minutes_old(tmp_path: Path) -> None:
    async with Life(tmp_path, issued_life=150) as life:
        await life.until(lambda: life.is_served)
        life.sts.fault = Fault.http(500)
        await life.comes(life.schedule().expiration + 300)
        assert (await life.request()).status == 503
        life.sts.fault = Fault.error("AccessDenied", 403)
        await life.until(lambda: life.happened(HopFailed)[-1].failure.code == "AccessDenied", within=62)
        since = life.clock()
        await life.comes(since + 119)
        response = await life.request()
        assert (response.status, response.code) == (503, "AccessDenied")
        await life.comes(since + 120)
        assert (await life.request()).status == 403
