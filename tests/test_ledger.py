"""The one question, by values: which hop is called now, whose failure it is, and when to ask again."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.ledger import ASKING, OLD, Held, Ledger, Trouble, next_call, region, trouble, wake
from sidecar.model import Hop, Kind, Phase
from sidecar.schedule import LAPSE, Schedule
from tests.builders import HOUR, TOKEN_FILE, chain, failure, held, session, target, targets

TARGET = target()
A, B = TARGET.hop.chain
THREE = target("three", chain(3))


def failed(ledger: Ledger, hop: Hop, kind: Kind = Kind.UNAVAILABLE, now: float = 0.0) -> Ledger:
    return ledger.failed(hop, failure(kind), now=now, chance=0.0)


def succeeded(ledger: Ledger, hop: Hop, now: float, lifetime: float = HOUR, serial: int = 9) -> Ledger:
    return ledger.succeeded(hop, session(hop, serial), lifetime=lifetime, now=now, chance=0.0)


def test_a_hop_that_was_never_called_has_an_empty_entry() -> None:
    assert Ledger().of(A) == Held(schedule=Schedule(), session=None)


def test_a_walk_goes_from_the_token_to_the_last_hop() -> None:
    ledger, walked = Ledger(), []
    while hop := next_call(ledger, THREE, 0.0):
        walked.append(hop)
        ledger = succeeded(ledger, hop, 0.0)
    assert tuple(walked) == THREE.hop.chain


def test_nothing_is_called_before_it_is_due() -> None:
    ledger = held(A, B)
    assert next_call(ledger, TARGET, 1799.0) is None
    assert wake(ledger, TARGET, 1799.0) == 1800.0
    assert next_call(ledger, TARGET, 1800.0) == B
    assert wake(ledger, TARGET, 1800.0) == 1800.0


def test_a_source_with_more_than_five_minutes_left_signs_as_it_is() -> None:
    ledger = succeeded(held(A), B, now=HOUR - LAPSE - 1800.1)
    assert next_call(ledger, TARGET, HOUR - LAPSE - 0.1) == B
    assert next_call(ledger, TARGET, HOUR - LAPSE) == A


def test_a_lapsed_source_waits_until_the_hop_above_needs_it() -> None:
    ledger = succeeded(held(A), B, now=HOUR - LAPSE)
    assert next_call(ledger, TARGET, HOUR) is None


def test_a_source_that_lives_signs_while_its_own_renewal_backs_off() -> None:
    ledger = failed(held(A, B), A, now=HOUR - 200.0)
    assert next_call(ledger, TARGET, HOUR - 199.0) == B
    assert next_call(ledger, TARGET, HOUR - 198.0) == A


def test_an_expired_source_signs_nothing_and_its_backoff_is_waited_for() -> None:
    ledger = failed(held(A, B), A, now=float(HOUR))
    assert next_call(ledger, TARGET, HOUR + 1.0) is None
    assert wake(ledger, TARGET, HOUR + 1.0) == HOUR + 1.5
    assert next_call(ledger, TARGET, HOUR + 1.5) == A


def test_a_hop_that_backs_off_is_not_called_even_if_its_source_has_lapsed() -> None:
    ledger = failed(held(A, B), B, now=HOUR - LAPSE - 1.0)
    assert next_call(ledger, TARGET, HOUR - LAPSE) is None


def test_a_middle_hop_that_backs_off_is_waited_for() -> None:
    first, middle, _ = THREE.hop.chain
    ledger = failed(held(first), middle, now=10.0)
    assert next_call(ledger, THREE, 11.0) is None
    assert wake(ledger, THREE, 11.0) == 11.5


def test_d5_the_session_stays_served_until_its_replacement_has_arrived() -> None:
    ledger = failed(failed(held(A, B), B, now=1800.0), A, now=1900.0)
    assert ledger.of(B).session == session(B, 2)
    assert ledger.of(B).schedule.phase(3569.0) is Phase.STALE
    assert succeeded(ledger, B, 3569.0).of(B).session == session(B, 9)


def test_d5_targets_that_expire_at_once_are_all_replaced() -> None:
    three = targets(3)
    ledger = held(*{hop for each in three for hop in each.hop.chain})
    assert [next_call(ledger, each, 1800.0) for each in three] == [each.hop for each in three]


def test_d7_targets_that_share_a_first_hop_ask_for_one_call() -> None:
    assert {next_call(Ledger(), each, 0.0) for each in targets(3)} == {A}


def test_d8_a_rotation_during_an_outage_leaves_the_served_session_alone() -> None:
    before = failed(held(A, B), A, now=1800.0)
    after = before.rotated(TOKEN_FILE, 1801.0)
    assert after.of(B) == before.of(B)
    assert after.of(A).session == before.of(A).session
    assert after.of(A).schedule.expiration == before.of(A).schedule.expiration


def test_d8_a_rotation_while_all_is_well_calls_nothing() -> None:
    assert held(A, B).rotated(TOKEN_FILE, 1.0) == held(A, B)


@pytest.mark.parametrize(
    "change", [{"external_id": "other"}, {"session_name": "other"}, {"duration": 900}, {"policy": "{}"}]
)
def test_d9_a_session_is_never_found_under_a_hop_that_differs(change: dict[str, Any]) -> None:
    assert held(A, B).of(chain(2, **change)) == Held()


@given(length=st.integers(1, 4), lifetimes=st.lists(st.floats(60, 12 * HOUR), min_size=4, max_size=4))
def test_d3_what_is_served_expires_with_the_last_hop_whatever_the_others_do(
    length: int, lifetimes: list[float]
) -> None:
    last, ledger = chain(length), Ledger()
    for serial, (hop, lifetime) in enumerate(zip(last.chain, lifetimes, strict=False)):
        ledger = succeeded(ledger, hop, 0.0, lifetime, serial)
    lifetime = lifetimes[length - 1]
    assert ledger.of(last).schedule.expiration == lifetime
    assert ledger.of(last).session == session(last, length - 1)
    assert ledger.of(last).schedule.is_alive(lifetime - 30.1)
    assert not ledger.of(last).schedule.is_alive(lifetime - 30.0)


def test_a_rotation_makes_a_first_hop_that_failed_due_and_keeps_its_count() -> None:
    ledger = Ledger()
    for _ in range(9):
        ledger = failed(ledger, A, Kind.TOKEN)
    assert next_call(ledger, TARGET, 1.0) is None
    rotated = ledger.rotated(TOKEN_FILE, 1.0)
    assert next_call(rotated, TARGET, 1.0) == A
    assert rotated.of(A).schedule.failures == 9


def test_a_rotation_of_another_file_changes_nothing() -> None:
    ledger = failed(Ledger(), A, Kind.TOKEN)
    assert ledger.rotated("/another", 0.5) == ledger


def test_a_rotation_does_not_hurry_a_later_hop_that_is_denied() -> None:
    ledger = failed(held(A), B, Kind.DENIED, now=1.0)
    assert ledger.rotated(TOKEN_FILE, 1.5) == ledger


def test_a_refresh_that_was_asked_for_calls_the_last_hop_now() -> None:
    asked = held(A, B).asked([TARGET], 100.0)
    assert next_call(asked, TARGET, 100.0) == B


def test_a_refresh_that_was_asked_for_ends_every_backoff() -> None:
    ledger = failed(failed(held(A, B), A, now=float(HOUR)), B, now=float(HOUR))
    assert next_call(ledger, TARGET, HOUR + 1.0) is None
    assert next_call(ledger.asked([TARGET], HOUR + 1.0), TARGET, HOUR + 1.0) == A


def test_a_refresh_is_granted_once_in_ten_seconds() -> None:
    ledger = held(A, B).asked([TARGET], 100.0)
    assert ledger.asked([TARGET], 100.0 + ASKING - 0.1) is ledger
    assert ledger.asked([TARGET], 100.0 + ASKING) is not ledger


def test_asking_before_anything_was_called_keeps_the_ledger_empty() -> None:
    assert dict(Ledger().asked([TARGET], 0.0).held) == {}


def test_a_denial_blames_a_source_session_that_is_old() -> None:
    ledger = failed(held(A, B), B, Kind.DENIED, now=OLD + 1.0)
    assert ledger.of(A).schedule.lapse == -inf
    assert next_call(ledger, TARGET, OLD + 3.0) == A


def test_a_denial_does_not_blame_a_source_session_of_the_same_walk() -> None:
    ledger = failed(held(A), B, Kind.DENIED, now=OLD)
    assert ledger.of(A) == held(A).of(A)


def test_a_denial_blames_the_source_once_in_a_streak() -> None:
    ledger = failed(held(A, B), B, Kind.DENIED, now=1800.0)
    ledger = succeeded(ledger, A, now=1801.5)
    for now in (1803.0, 1900.0, 4000.0):
        ledger = failed(ledger, B, Kind.DENIED, now=now)
    assert ledger.of(A).schedule.lapse > 1801.5


def test_a_later_streak_may_blame_again() -> None:
    ledger = succeeded(succeeded(failed(held(A, B), B, Kind.DENIED, now=1800.0), A, 1802.0), B, 1803.0)
    assert failed(ledger, B, Kind.DENIED, now=3603.0).of(A).schedule.lapse == -inf


def test_a_denial_of_a_third_hop_blames_its_own_source_alone() -> None:
    first, middle, last = THREE.hop.chain
    ledger = failed(held(first, middle, last), last, Kind.DENIED, now=1800.0)
    assert ledger.of(middle).schedule.lapse == -inf
    assert ledger.of(first).schedule.lapse > 0


def test_a_source_that_sts_no_longer_knows_takes_the_whole_prefix_along() -> None:
    ledger = failed(held(*THREE.hop.chain), THREE.hop, Kind.SOURCE_GONE, now=10.0)
    assert [ledger.of(hop).schedule.lapse for hop in THREE.hop.chain[:2]] == [-inf, -inf]
    assert next_call(ledger, THREE, 12.0) == THREE.hop.chain[0]
    assert wake(ledger, THREE, 12.0) == 12.0


def test_a_source_is_not_gone_twice_in_a_streak() -> None:
    ledger = succeeded(failed(held(A, B), B, Kind.SOURCE_GONE, now=10.0), A, now=12.0)
    assert failed(ledger, B, Kind.SOURCE_GONE, now=13.0).of(A).schedule.lapse > 0


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.TOKEN])
def test_an_outage_blames_no_source(kind: Kind) -> None:
    assert failed(held(A, B), B, kind, now=1800.0).of(A) == held(A, B).of(A)


def test_a_first_hop_has_no_source_to_blame() -> None:
    assert set(failed(Ledger(), A, Kind.DENIED).held) == {A}


def test_a_target_without_a_failure_is_in_no_trouble() -> None:
    assert trouble(Ledger(), TARGET) is None
    assert trouble(held(A, B), TARGET) is None


def test_trouble_is_the_latest_failure_on_the_chain() -> None:
    ledger = failed(failed(held(A, B), B, Kind.DENIED, now=1800.0), A, now=1900.0)
    assert trouble(ledger, TARGET) == Trouble(hop=A, failure=failure(), since=1900.0, failures=1)


def test_trouble_tells_since_when_it_is_of_one_kind_and_how_often_it_failed() -> None:
    ledger = failed(held(A), B, now=10.0)
    for now in (20.0, 30.0):
        ledger = failed(ledger, B, Kind.DENIED, now=now)
    assert trouble(ledger, TARGET) == Trouble(hop=B, failure=failure(Kind.DENIED), since=20.0, failures=3)


def test_a_target_outlives_the_trouble_of_its_source() -> None:
    ledger = succeeded(failed(held(A), A, now=3400.0), B, now=3401.0)
    assert trouble(ledger, TARGET) is None
    assert trouble(failed(ledger, A, now=3500.0), TARGET) is not None


def test_the_primary_and_the_fallbacks_are_asked_in_turn() -> None:
    schedule, asked = Schedule(), []
    for _ in range(7):
        asked.append(region(schedule, ("p", "f", "g")))
        schedule = schedule.failed(failure(), now=0.0, chance=0.0)
    assert asked == ["p", "f", "p", "g", "p", "f", "p"]


def test_success_brings_the_primary_back() -> None:
    schedule = Schedule().failed(failure(), now=0.0, chance=0.0)
    assert region(schedule.succeeded(lifetime=HOUR, now=1.0, chance=0.0), ("p", "f")) == "p"


def test_without_fallbacks_the_primary_is_asked_always() -> None:
    assert region(Schedule().failed(failure(), now=0.0, chance=0.0), ("p",)) == "p"


def test_a_denial_is_the_primarys_word_and_no_fallback_is_asked() -> None:
    assert region(Schedule().failed(failure(Kind.DENIED), now=0.0, chance=0.0), ("p", "f")) == "p"


STEPS = st.tuples(
    st.sampled_from(["succeeded", "failed", "rotated", "asked"]),
    st.sampled_from(Kind),
    st.integers(0, 2),
    st.floats(0, 2000),
)


@given(st.lists(STEPS, max_size=30), st.integers(1, 3))
def test_the_question_has_an_answer_exactly_when_it_is_time_to_wake(
    steps: list[tuple[str, Kind, int, float]], length: int
) -> None:
    one = target(last=chain(length))
    ledger, now = Ledger(), 0.0
    for what, kind, which, seconds in steps:
        now += seconds
        hop = one.hop.chain[which % length]
        match what:
            case "succeeded":
                ledger = succeeded(ledger, hop, now)
            case "failed":
                ledger = failed(ledger, hop, kind, now)
            case "rotated":
                ledger = ledger.rotated(TOKEN_FILE, now)
            case _:
                ledger = ledger.asked([one], now)
        for instant in (now, now + 1.0, now + 200.0):
            assert (next_call(ledger, one, instant) is not None) is (wake(ledger, one, instant) <= instant)


def test_a_denial_late_in_a_streak_blames_a_source_that_is_as_old_as_the_streak() -> None:
    ledger = failed(held(A), B, now=10.0)
    assert failed(ledger, B, Kind.DENIED, now=OLD).of(A).schedule.lapse > 0
    assert failed(ledger, B, Kind.DENIED, now=OLD + 1.0).of(A).schedule.lapse == -inf
