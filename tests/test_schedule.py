"""The life of one session by values and properties: instants in, instants out."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import Kind, Phase
from sidecar.schedule import CAPS, FLOOR, LAPSE, SHORTEST, Schedule
from tests.builders import HOUR, failure

NOWS = st.floats(0, 1e9)
CHANCES = st.floats(0, 1, exclude_max=True)
LIFETIMES = st.floats(SHORTEST, 12 * HOUR)
KINDS = st.sampled_from(Kind)


def failed(schedule: Schedule, *kinds: Kind, now: float = 0.0, chance: float = 0.0) -> Schedule:
    for kind in kinds:
        schedule = schedule.failed(failure(kind), now=now, chance=chance)
    return schedule


def test_a_schedule_is_born_empty_and_due() -> None:
    born = Schedule()
    assert born.phase(0.0) is Phase.EMPTY
    assert born.due <= 0.0
    assert not born.is_alive(0.0)
    assert not born.backs_off(0.0)
    assert born.failures == 0


@pytest.mark.parametrize(
    ("now", "phase"),
    [
        (0.0, Phase.FRESH),
        (1799.9, Phase.FRESH),
        (1800.0, Phase.STALE),
        (3569.9, Phase.STALE),
        (3570.0, Phase.EXPIRED),
        (3600.0, Phase.EXPIRED),
        (1e9, Phase.EXPIRED),
    ],
)
def test_an_hour_passes_from_fresh_over_stale_to_expired(now: float, phase: Phase) -> None:
    schedule = Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0)
    assert schedule.phase(now) is phase
    assert schedule.is_alive(now) is (phase is not Phase.EXPIRED)


@given(now=NOWS, chance=CHANCES, lifetime=LIFETIMES)
def test_d4_a_session_is_replaced_ahead_with_half_to_six_tenths_of_its_life_left(
    now: float, chance: float, lifetime: float
) -> None:
    schedule = Schedule().succeeded(lifetime=lifetime, now=now, chance=chance)
    left = schedule.expiration - schedule.due
    assert lifetime * 0.5 - 1e-4 <= left <= lifetime * 0.6 + 1e-4


def test_d4_a_chained_hour_is_refreshed_with_thirty_to_thirty_six_minutes_left() -> None:
    earliest = Schedule().succeeded(lifetime=HOUR, now=0.0, chance=1.0).due
    latest = Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0).due
    assert (earliest, latest) == (24 * 60, 30 * 60)


def test_d31_a_fleet_that_started_together_is_due_at_different_instants() -> None:
    fleet = [Schedule().succeeded(lifetime=HOUR, now=0.0, chance=n / 100).due for n in range(100)]
    assert len(set(fleet)) == 100
    assert max(fleet) - min(fleet) > 300


@given(kind=KINDS, times=st.integers(1, 40), chance=CHANCES)
def test_d31_failures_back_off_by_their_class_with_a_spread(kind: Kind, times: int, chance: float) -> None:
    schedule = failed(Schedule(), *[kind] * times, chance=chance)
    longest = min(CAPS[kind], 2**times)
    assert schedule.due == pytest.approx(longest * (0.75 + chance / 4))
    assert schedule.failures == times


def test_d31_a_denial_backs_off_to_five_minutes_and_an_outage_to_one() -> None:
    assert failed(Schedule(), *[Kind.DENIED] * 1000, chance=1.0).due == 300
    assert failed(Schedule(), *[Kind.UNAVAILABLE] * 1000, chance=1.0).due == 60
    assert failed(Schedule(), *[Kind.SOURCE_GONE] * 1000, chance=1.0).due == 60


def test_a_first_failure_is_retried_within_two_seconds() -> None:
    assert [failed(Schedule(), kind, chance=1.0).due for kind in Kind] == [2.0] * len(Kind)


def test_a_session_of_less_than_a_minute_is_no_success() -> None:
    with pytest.raises(ValueError, match="59 s is a failure"):
        Schedule().succeeded(lifetime=SHORTEST - 0.6, now=0.0, chance=0.0)
    assert Schedule().succeeded(lifetime=SHORTEST, now=0.0, chance=0.0).is_alive(SHORTEST - FLOOR - 0.1)


@given(now=NOWS, lifetime=LIFETIMES, chance=CHANCES, kind=KINDS, later=st.floats(0, 2 * HOUR))
def test_a_failure_moves_due_and_nothing_that_is_served(
    now: float, lifetime: float, chance: float, kind: Kind, later: float
) -> None:
    before = Schedule().succeeded(lifetime=lifetime, now=now, chance=chance)
    after = failed(before, kind, now=now + later, chance=chance)
    assert after.due > now + later
    assert replace(after, due=before.due, streak=None) == before
    assert after.is_alive(now + later) is before.is_alive(now + later)


def test_a_failure_makes_a_fresh_session_stale_until_the_next_success() -> None:
    schedule = failed(Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0), Kind.DENIED, now=10.0)
    assert schedule.phase(10.0) is Phase.STALE
    assert schedule.succeeded(lifetime=HOUR, now=12.0, chance=0.0).phase(12.0) is Phase.FRESH


def test_only_success_ends_a_streak() -> None:
    schedule = failed(Schedule(), Kind.UNAVAILABLE, Kind.DENIED, Kind.TOKEN).hurried(1.0).spent()
    assert schedule.failures == 3
    assert schedule.succeeded(lifetime=HOUR, now=2.0, chance=0.0).streak is None


def test_a_streak_knows_its_first_instant_its_last_and_since_when_it_is_of_one_kind() -> None:
    schedule = Schedule()
    for now, kind in [(1.0, Kind.UNAVAILABLE), (2.0, Kind.DENIED), (3.0, Kind.DENIED)]:
        schedule = failed(schedule, kind, now=now)
    streak = schedule.streak
    assert streak is not None
    assert (streak.began, streak.since, streak.last) == (1.0, 2.0, 3.0)
    assert streak.error == failure(Kind.DENIED)


def test_a_failure_backs_off_until_due_and_no_longer() -> None:
    schedule = failed(Schedule(), Kind.DENIED)
    assert schedule.backs_off(schedule.due - 0.1)
    assert not schedule.backs_off(schedule.due)


def test_a_success_is_not_due_but_does_not_back_off() -> None:
    assert not Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0).backs_off(1.0)


def test_hurry_brings_due_to_now_and_never_puts_it_off() -> None:
    schedule = failed(Schedule(), *[Kind.DENIED] * 9)
    assert schedule.hurried(7.0).due == 7.0
    assert schedule.hurried(1e6).due == schedule.due


def test_a_spent_session_lapses_and_is_still_served() -> None:
    spent = Schedule().succeeded(lifetime=HOUR, now=0.0, chance=0.0).spent()
    assert spent.lapse == -inf
    assert spent.phase(10.0) is Phase.FRESH


@pytest.mark.parametrize(("lifetime", "lapse"), [(HOUR, HOUR - LAPSE), (900, 600), (500, 250), (90, 45)])
def test_a_source_lapses_five_minutes_before_its_end_and_not_before_its_due(lifetime: float, lapse: float) -> None:
    assert Schedule().succeeded(lifetime=lifetime, now=0.0, chance=0.0).lapse == lapse
