"""The six invariants of the schedule, each over arbitrary orders of outcomes, delays and luck.

1 to 3 play scripts of outcomes on `next_call` and the ledger; 4 to 6 let a pod live with an STS of their own making.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.ledger import Ledger, next_call
from sidecar.model import Failure, Hop, Kind, Phase, Target
from sidecar.refresher import DEADLINE, POLL
from tests.builders import HOUR, TOKEN_FILE, failure, session, targets
from tests.simulation import Answer, Fault, Kubelet, Pod, Sts
from tests.witness import DENIED_ENDS, FIRST_HOUR, LATER_HOUR, UNAVAILABLE_ENDS, Witness

FLOOR = 30.0
CHANCE = st.floats(0, 1, exclude_max=True)
SEEDS = st.integers(0, 2**32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """After `gap` seconds: the call that a target needs has an outcome, or the token rotates, or somebody asks."""

    gap: float
    what: str
    target: int
    kind: Kind
    lifetime: float
    chance: float


STEPS = st.lists(
    st.builds(
        Step,
        gap=st.one_of(st.floats(0, 5), st.floats(0, 400), st.floats(0, 4000)),
        what=st.sampled_from(["succeeded", "succeeded", "succeeded", "failed", "failed", "rotated", "asked"]),
        target=st.integers(0, 2),
        kind=st.sampled_from(Kind),
        lifetime=st.one_of(st.just(float(HOUR)), st.floats(60, 12 * HOUR)),
        chance=CHANCE,
    ),
    min_size=5,
    max_size=60,
)
SERVED = st.builds(targets, st.integers(1, 3), st.integers(1, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One step: the ledger before it and after it, and the hop whose outcome it was, if it was one."""

    step: Step
    before: Ledger
    after: Ledger
    hop: Hop | None
    now: float


def outcome(ledger: Ledger, hop: Hop, step: Step, now: float, serial: int) -> Ledger:
    if step.what == "failed":
        return ledger.failed(hop, failure(step.kind), now=now, chance=step.chance)
    new = session(hop, serial)
    return ledger.succeeded(hop, new, lifetime=step.lifetime, now=now, chance=step.chance)


def play(steps: list[Step], served: tuple[Target, ...]) -> Iterator[Played]:
    ledger, now = Ledger(), 1000.0
    for serial, step in enumerate(steps):
        now += step.gap
        before, hop = ledger, None
        if step.what == "rotated":
            ledger = ledger.rotated(TOKEN_FILE, now)
        elif step.what == "asked":
            ledger = ledger.asked(served, now)
        elif (hop := next_call(ledger, served[step.target % len(served)], now)) is not None:
            ledger = outcome(ledger, hop, step, now, serial)
        yield Played(step=step, before=before, after=ledger, hop=hop, now=now)


@given(STEPS, SERVED, st.lists(st.floats(0, 12 * HOUR), max_size=3))
def test_invariant_1_expired_credentials_are_never_served(
    steps: list[Step], served: tuple[Target, ...], later: list[float]
) -> None:
    until: dict[str, float] = {}
    for played in play(steps, served):
        if played.hop and played.step.what == "succeeded":
            new = played.after.of(played.hop).session
            assert new is not None
            until[new.credentials.access_key_id] = played.now + played.step.lifetime
        for each in served:
            held = played.after.of(each.hop)
            ends = until[held.session.credentials.access_key_id] if held.session else 0.0
            for instant in (played.now, ends - FLOOR, ends, *(played.now + seconds for seconds in later)):
                is_served = held.schedule.phase(instant) in (Phase.FRESH, Phase.STALE)
                assert is_served is held.schedule.is_alive(instant) is (instant < ends - FLOOR)


@given(STEPS, SERVED)
def test_invariant_2_a_failure_never_discards_served_credentials(steps: list[Step], served: tuple[Target, ...]) -> None:
    for played in play(steps, served):
        if played.step.what == "succeeded":
            continue
        for each in served:
            for hop in each.hop.chain:
                before, after = played.before.of(hop), played.after.of(hop)
                assert after.session is before.session
                assert after.schedule.expiration == before.schedule.expiration
                assert after.schedule.is_alive(played.now) is before.schedule.is_alive(played.now)


@given(STEPS, SERVED)
def test_invariant_3_after_a_success_and_after_a_failure_due_is_in_the_future(
    steps: list[Step], served: tuple[Target, ...]
) -> None:
    for played in play(steps, served):
        if played.hop:
            assert played.after.of(played.hop).schedule.due > played.now


class Scripted(Sts):
    """An STS that answers by a script of the test's; healthy where the script says nothing."""

    script: Callable[[Hop], Answer | None]

    def answer(self, hop: Hop, source_issued: float) -> Answer:
        return self.script(hop) or Answer(seconds=self.random.uniform(0.0, DEADLINE), lifetime=hop.duration)


def healthy(hop: Hop) -> None:
    """Nothing is wrong."""


def born(served: tuple[Target, ...], seed: int) -> tuple[Pod, Scripted]:
    sts = Scripted(random=Random(seed))  # noqa: S311  # chance here is to be repeated, not to be secret
    sts.script = healthy
    witness = Witness(served, walk=POLL + served[0].hop.position * DEADLINE)
    return Pod(served, sts, Kubelet(expiration=1e12), witness), sts


def lives(pod: Pod, now: float, end: float) -> Iterator[float]:
    """Lets `pod` live from `now` to `end`; yields every instant at which something happens, before it does."""
    while now < end:
        yield now
        pod.turn(now)
        now = min(pod.next_instant(now), end)


def refused(kind: Kind, seconds: float) -> Answer:
    return Answer(seconds=seconds, failure=Failure(kind=kind, code="Refused"), blamed=Fault.ERROR)


@given(
    served=SERVED,
    seed=SEEDS,
    kinds=st.lists(st.sampled_from([Kind.UNAVAILABLE, Kind.SOURCE_GONE, Kind.DENIED]), min_size=1, max_size=3),
    hangs=st.booleans(),
    begins=st.floats(0, 1),
    warm=st.floats(0, 4 * HOUR),
)
def test_invariant_4_an_outage_that_ends_two_minutes_before_expiration_is_invisible(
    *, served: tuple[Target, ...], seed: int, kinds: list[Kind], hangs: bool, begins: float, warm: float
) -> None:
    pod, sts = born(served, seed)
    for _ in lives(pod, 0.0, warm + 60.0):
        pass
    first = min(served, key=lambda each: pod.ledger.of(each.hop).schedule.expiration)
    expiration = pod.ledger.of(first.hop).schedule.expiration
    ends = expiration - (DENIED_ENDS if Kind.DENIED in kinds else UNAVAILABLE_ENDS)
    settled = now = warm + 60.0
    starts = settled + begins * (ends - settled)

    def broken(hop: Hop) -> Answer | None:
        seconds = DEADLINE if hangs else sts.random.uniform(0.0, DEADLINE)
        return refused(sts.random.choice(kinds), seconds) if starts <= now < ends else None

    sts.script = broken
    pod.witness.began("outage", denied=Kind.DENIED in kinds)
    for now in lives(pod, settled, expiration + 60.0):  # the script above reads it
        for each in served:
            assert pod.ledger.of(each.hop).schedule.is_alive(now)


@settings(max_examples=60)
@given(served=SERVED, seed=SEEDS)
def test_invariant_5_in_steady_state_at_least_half_the_lifetime_is_left_less_one_walk(
    served: tuple[Target, ...], seed: int
) -> None:
    pod, _ = born(served, seed)
    walk = POLL + served[0].hop.position * DEADLINE
    for now in lives(pod, 0.0, 12.0 * HOUR):
        for each in served:
            schedule = pod.ledger.of(each.hop).schedule
            lifetime = schedule.expiration - schedule.refreshed
            assert now < 60 or schedule.expiration - now >= lifetime / 2 - walk


def calls_by_hour(pod: Pod, sts: Scripted, denied: int, began: float) -> list[int]:
    """The calls in each of six hours since the hop at position `denied` was first denied."""
    made: list[float] = []
    now = began

    def script(hop: Hop) -> Answer | None:
        if made or hop.position == denied:
            made.append(now)
        return refused(Kind.DENIED, sts.random.uniform(0.0, 0.5)) if hop.position == denied else None

    sts.script = script
    for now in lives(pod, began, began + 8.0 * HOUR):  # noqa: B007  # the script above reads it
        pass
    return [sum(1 for at in made if hour * HOUR <= at - made[0] < (hour + 1) * HOUR) for hour in range(6)]


@settings(max_examples=60)
@given(seed=SEEDS, denied=st.sampled_from([1, 2]), warm=st.sampled_from([0.0, 100.0, 1700.0, 2.5 * HOUR]))
def test_invariant_6_a_denied_chain_makes_thirty_calls_in_the_first_hour_and_twenty_in_each_later_one(
    seed: int, denied: int, warm: float
) -> None:
    pod, sts = born(targets(1), seed)
    for _ in lives(pod, 0.0, warm):
        pass
    first, *later = calls_by_hour(pod, sts, denied, warm)
    assert 10 <= first <= FIRST_HOUR
    assert max(later) <= LATER_HOUR


@settings(max_examples=30)
@given(seed=SEEDS, count=st.integers(2, 3))
def test_invariant_6_targets_behind_one_denied_first_hop_make_no_more(seed: int, count: int) -> None:
    pod, sts = born(targets(count), seed)
    first, *later = calls_by_hour(pod, sts, 1, 0.0)
    assert first <= FIRST_HOUR
    assert max(later) <= LATER_HOUR


@settings(max_examples=30)
@given(seed=SEEDS, gap=st.floats(0.2, 15), wishes=st.integers(100, 200))
def test_invariant_6_a_refresh_that_is_asked_for_costs_one_walk_however_often_it_is_asked(
    seed: int, gap: float, wishes: int
) -> None:
    pod, sts = born(targets(1), seed)
    made: list[Hop] = []

    def script(hop: Hop) -> Answer:
        made.append(hop)
        return refused(Kind.DENIED, 0.1)

    sts.script = script
    now = 0.0
    for wish in range(wishes):
        for now in lives(pod, wish * gap, (wish + 1) * gap):  # noqa: B007  # where it ends is where the next begins
            pass
        pod.ask(now)
    granted = 1 + wishes * gap / 10.0
    assert len(made) <= FIRST_HOUR + granted * 2
