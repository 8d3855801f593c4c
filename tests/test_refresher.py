"""The one loop, with an STS of the test's own at its port and a clock that the test advances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sidecar.errors import HopDenied, HopUnavailable, SourceGone, TokenError, TokenTrouble
from sidecar.events import Event, HopFailed, HopSucceeded, PhaseChanged, RefreshAsked, Skewed, TokenFailed, TokenRead
from sidecar.ledger import Ledger
from sidecar.model import Hop, Kind, Outside, Phase, Secret, Session, Target
from sidecar.refresher import ROUNDING, Refresher
from sidecar.sts import Call, Grant
from sidecar.tokens import decode
from tests.builders import EXPIRATION, HOUR, ROLE_A, chain, hop, session, target, token_text, write_token
from tests.harness import in_virtual_time

START, EPOCH = 1000.0, EXPIRATION - 20 * HOUR
E = TypeVar("E", bound=Event)
Reply = Callable[[Call], Grant]


class Scripted:
    """STS as a list of replies, in order; grants an hour when the list is at its end. `gate` holds answers back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.calls: list[Call] = []
        self.replies: list[Exception | Reply] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.cancelled = 0
        self.skew = 0.0
        self._clock = clock

    async def assume(self, call: Call) -> Grant:
        self.calls.append(call)
        self.arrived.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        reply = self.replies.pop(0) if self.replies else self.grant
        if isinstance(reply, Exception):
            raise reply
        return reply(call)

    def grant(self, call: Call, *, lifetime: float = HOUR, of: Session | None = None) -> Grant:
        return Grant(
            session=of or session(call.hop, len(self.calls)),
            lifetime=lifetime,
            date=EPOCH + self._clock() - START + self.skew,
            packed=None,
            request_id="request-1",
        )


class Rig:
    """A refresher, its token file and everything that it said."""

    def __init__(self, path: Path, served: tuple[Target, ...], **options: Any) -> None:
        self.now, self.stepped = START, 0.0
        self.path, self.sts = path, Scripted(lambda: self.now)
        self.published: list[Ledger] = []
        self.events: list[Event] = []
        self.refresher = Refresher(
            served,
            self.sts.assume,
            **{
                "outside": Outside(
                    clock=lambda: self.now,
                    wall=lambda: EPOCH + self.now - START + self.stepped,
                    chance=lambda: 0.0,
                    random_token=lambda: "unused",
                    boot="boot-1",
                ),
                "ledger": Ledger(),
                "publish": self.published.append,
                "observe": self.events.append,
                **options,
            },
        )
        self.target = served[0]

    @property
    def ledger(self) -> Ledger:
        return self.refresher.ledger

    async def after(self, seconds: float) -> None:
        """Time passes, and the refresher does what is due until nothing is."""
        self.now += seconds
        await self.refresher.settle()

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def asked(self) -> list[int]:
        """The positions of the hops that STS was asked for."""
        return [call.hop.position for call in self.sts.calls]


def at(last: Hop, path: Path) -> Hop:
    """`last` with a chain that begins at the token file `path`."""
    return replace(last, source=at(last.source, path)) if last.source else replace(last, token_file=str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_token(tmp_path / "token")
    return tmp_path / "token"


@pytest.fixture
def rig(path: Path) -> Rig:
    return Rig(path, (target(last=at(chain(2), path)),))


async def test_a_walk_spends_the_token_and_signs_each_hop_with_the_one_before(path: Path) -> None:
    rig = Rig(path, (target(last=at(chain(3), path)),))
    await rig.after(0)
    first, second, third = rig.sts.calls
    assert first.token is not None
    assert first.token.reveal() == path.read_text()
    assert (first.source, second.token, third.token) == (None, None, None)
    assert second.source == rig.ledger.of(first.hop).session.credentials  # type: ignore[union-attr]
    assert third.source == rig.ledger.of(second.hop).session.credentials  # type: ignore[union-attr]


async def test_the_session_name_comes_from_the_token_and_is_inherited_along_the_chain(rig: Rig) -> None:
    await rig.after(0)
    assert [call.session_name for call in rig.sts.calls] == ["payments.ledger-0"] * 2


async def test_a_hop_with_a_name_of_its_own_uses_it_and_later_hops_inherit_it(path: Path) -> None:
    first = hop(ROLE_A, token_file=str(path), session_name="chosen")
    rig = Rig(path, (target(last=replace(chain(2), source=first)),))
    await rig.after(0)
    assert [call.session_name for call in rig.sts.calls] == ["chosen"] * 2


async def test_every_success_is_published_and_the_first_makes_the_target_fresh(rig: Rig) -> None:
    await rig.after(0)
    assert len(rig.published) == 2
    assert rig.published[-1] is rig.ledger
    assert rig.ledger.of(rig.target.hop).schedule.phase(rig.now) is Phase.FRESH
    assert [(e.before, e.after) for e in rig.seen(PhaseChanged)] == [(Phase.EMPTY, Phase.FRESH)]


async def test_phases_are_told_once_as_they_change(rig: Rig) -> None:
    await rig.after(0)
    rig.sts.replies = [HopUnavailable("ServiceUnavailable")] * 1000
    for _ in range(HOUR):
        await rig.after(1)
    assert [event.after for event in rig.seen(PhaseChanged)] == [Phase.FRESH, Phase.STALE, Phase.EXPIRED]
    rig.sts.replies = []
    await rig.after(60)
    assert rig.seen(PhaseChanged)[-1].after is Phase.FRESH


async def test_d4_a_chained_hour_is_replaced_long_before_its_end(rig: Rig) -> None:
    await rig.after(0)
    await rig.after(1799)
    assert rig.asked == [1, 2]
    await rig.after(1)
    assert rig.asked == [1, 2, 2]


async def test_d7_any_number_of_targets_and_turns_make_one_walk(path: Path) -> None:
    served = tuple(target(f"t{n}", at(chain(2), path)) for n in range(5))
    rig = Rig(path, served)
    rig.sts.gate.clear()
    for _ in range(10):
        rig.refresher.turn()
        await asyncio.sleep(0)
    assert rig.asked == [1]
    rig.sts.gate.set()
    await rig.after(0)
    assert rig.asked == [1, 2]
    called_for = {name for event in rig.seen(HopSucceeded) for name in event.attempt.targets}
    assert called_for == {"t0", "t1", "t2", "t3", "t4"}


async def test_d7_targets_that_share_a_first_hop_walk_it_once(path: Path) -> None:
    rig = Rig(path, tuple(target(f"t{n}", at(chain(2, branch=f"-{n}"), path)) for n in range(3)))
    await rig.after(0)
    assert sorted(rig.asked) == [1, 2, 2, 2]


async def test_d7_a_waiter_that_gives_up_cancels_nothing(rig: Rig) -> None:
    rig.sts.gate.clear()
    waiter = asyncio.create_task(rig.refresher.settle())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    rig.sts.gate.set()
    await rig.after(0)
    assert (rig.asked, rig.sts.cancelled) == ([1, 2], 0)


async def test_d8_a_rotation_during_an_outage_is_invisible(rig: Rig) -> None:
    await rig.after(0)
    served = rig.ledger.of(rig.target.hop)
    rig.sts.replies = [HopUnavailable("ServiceUnavailable")] * 3
    await rig.after(1800)
    write_token(rig.path, jti="rotated")
    await rig.after(2)
    after = rig.ledger.of(rig.target.hop)
    assert (after.session, after.schedule.expiration) == (served.session, served.schedule.expiration)
    assert after.schedule.is_alive(rig.now)


@in_virtual_time
async def test_a_call_above_its_deadline_is_a_timeout(path: Path) -> None:
    rig = Rig(path, (target(last=at(chain(2), path)),), deadline=0.01)
    rig.sts.gate.clear()
    await rig.after(0)
    (failed,) = rig.seen(HopFailed)
    assert (failed.failure.kind, failed.failure.code) == (Kind.UNAVAILABLE, "Timeout")
    assert rig.sts.cancelled == 1


@pytest.mark.parametrize("last", [chain(2, branch="-other"), hop(chain(2).role.arn.replace("4444", "5555"))])
async def test_a_session_of_another_role_is_never_held(rig: Rig, last: Hop) -> None:
    rig.sts.replies = [rig.sts.grant, lambda call: rig.sts.grant(call, of=session(last))]
    await rig.after(0)
    assert rig.ledger.of(rig.target.hop).session is None
    assert [event.failure.code for event in rig.seen(HopFailed)] == ["WrongIdentity"]


@pytest.mark.parametrize("lifetime", [-1.0, 0.0, 59.9])
async def test_a_session_that_is_about_to_end_is_a_failure(rig: Rig, lifetime: float) -> None:
    rig.sts.replies = [lambda call: rig.sts.grant(call, lifetime=lifetime)]
    await rig.after(0)
    assert rig.ledger.of(rig.target.hop.chain[0]).session is None
    (failed,) = rig.seen(HopFailed)
    assert (failed.failure.kind, failed.failure.code) == (Kind.UNAVAILABLE, "ShortSession")


async def test_a_session_lives_no_longer_than_was_asked_for_whatever_the_date_says(rig: Rig) -> None:
    rig.sts.replies = [lambda call: rig.sts.grant(call, lifetime=4 * HOUR)]
    await rig.after(0)
    first = rig.target.hop.chain[0]
    assert rig.ledger.of(first).schedule.expiration == rig.now + first.duration


@pytest.mark.parametrize(
    ("left", "is_taken"), [(HOUR - 60.0 - ROUNDING - 0.5, False), (HOUR - 60.0 - ROUNDING + 0.5, True)]
)
async def test_what_a_target_serves_is_not_replaced_by_what_ends_sooner(rig: Rig, left: float, is_taken: bool) -> None:
    await rig.after(0)
    held = rig.ledger.of(rig.target.hop).session
    rig.sts.replies = [lambda call: rig.sts.grant(call, lifetime=left)]
    rig.refresher.ledger = rig.ledger.asked([rig.target], rig.now + 60)
    rig.now += 60
    await rig.after(0)
    assert (rig.ledger.of(rig.target.hop).session is not held) is is_taken


async def test_what_a_call_takes_is_taken_from_the_life_of_its_session(rig: Rig) -> None:
    def slow(call: Call) -> Grant:
        grant = rig.sts.grant(call)
        rig.now += 4.0
        return grant

    rig.sts.replies = [slow]
    await rig.after(0)
    assert rig.ledger.of(rig.target.hop.chain[0]).schedule.expiration == START + HOUR
    assert rig.seen(HopSucceeded)[0].lifetime == HOUR - 4.0


async def test_a_wrong_node_clock_moves_no_schedule(rig: Rig) -> None:
    rig.stepped = -10 * HOUR
    await rig.after(0)
    schedule = rig.ledger.of(rig.target.hop).schedule
    assert (schedule.due, schedule.expiration) == (START + HOUR / 2, START + HOUR)
    assert rig.refresher.look().skew == 10 * HOUR


async def test_the_token_is_read_again_right_before_the_first_hop(rig: Rig) -> None:
    rig.refresher.turn()
    text = write_token(rig.path, jti="written between the look and the call")
    await rig.after(0)
    spent = rig.sts.calls[0].token
    assert spent is not None
    assert spent.reveal() == text
    assert [event.rotated for event in rig.seen(TokenRead)] == [False, True]


async def test_without_a_token_no_call_is_spent_until_there_is_one(rig: Rig) -> None:
    text = rig.path.read_text()
    rig.path.unlink()
    for _ in range(20):
        await rig.after(2)
    assert rig.sts.calls == []
    assert {event.failure.code for event in rig.seen(HopFailed)} == {"TokenMissing"}
    assert [event.reason for event in rig.seen(TokenFailed)] == ["missing"]
    assert rig.refresher.look().token_expiration is None
    rig.path.write_text(text)
    await rig.after(2)
    assert rig.asked == [1, 2]
    assert rig.sts.calls[0].token == Secret(text)
    assert rig.refresher.look().token_expiration == decode(text, "token").claims.expiration


async def test_a_damaged_token_file_does_not_stop_the_last_good_token(rig: Rig) -> None:
    await rig.after(0)
    rig.path.write_text("half a tok")
    await rig.after(HOUR)
    assert rig.asked == [1, 2, 1, 2]
    assert [event.reason for event in rig.seen(TokenFailed)] == ["malformed"]


async def test_a_file_that_recovers_with_the_same_token_is_no_rotation(rig: Rig) -> None:
    text = rig.path.read_text()
    await rig.after(0)
    rig.path.unlink()
    await rig.after(2)
    rig.path.write_text(text)
    await rig.after(2)
    assert [event.rotated for event in rig.seen(TokenRead)] == [False]


async def test_a_token_that_has_expired_by_the_time_of_sts_costs_no_call(rig: Rig) -> None:
    await rig.after(0)
    write_token(rig.path, exp=int(EPOCH) + HOUR)
    rig.sts.calls.clear()
    await rig.after(HOUR)
    assert rig.sts.calls == []
    (failed,) = rig.seen(HopFailed)
    assert (failed.failure.kind, failed.failure.code, failed.attempt.region) == (Kind.TOKEN, "TokenExpired", None)


async def test_one_wrong_date_does_not_expire_the_token_for_ever(rig: Rig) -> None:
    rig.sts.skew = 365.0 * 24 * HOUR
    await rig.after(0)
    rig.sts.skew = 0.0
    await rig.after(HOUR)
    assert rig.seen(HopFailed)[-1].failure.code == "TokenExpired"
    await rig.after(2)
    assert rig.asked == [1, 2, 1, 2]


async def test_an_expired_token_is_offered_before_sts_has_told_the_time(rig: Rig) -> None:
    write_token(rig.path, exp=int(EPOCH) - 1)
    rig.sts.replies = [TokenError(TokenTrouble.EXPIRED, str(rig.path), "said STS")]
    await rig.after(0)
    assert rig.asked == [1]
    assert rig.seen(HopFailed)[0].failure.kind is Kind.TOKEN


async def test_a_rotation_ends_the_backoff_of_a_first_hop(rig: Rig) -> None:
    rig.sts.replies = [HopDenied("InvalidIdentityToken")] * 9
    for _ in range(9):
        await rig.after(300)
    asked = len(rig.asked)
    await rig.after(2)
    assert len(rig.asked) == asked
    write_token(rig.path, jti="rotated")
    await rig.after(2)
    assert rig.asked[asked:] == [1, 2]


async def test_a_source_that_is_gone_is_walked_again_from_the_token(rig: Rig) -> None:
    rig.sts.replies = [rig.sts.grant, SourceGone("InvalidClientTokenId")]
    await rig.after(0)
    assert rig.seen(HopFailed)[0].failure.kind is Kind.SOURCE_GONE
    await rig.after(2)
    assert rig.asked == [1, 2, 1, 2]


async def test_a_refresh_is_granted_once_in_ten_seconds_and_said_each_time(rig: Rig) -> None:
    await rig.after(0)
    for _ in range(5):
        rig.refresher.ask()
        await rig.after(1)
    assert rig.asked == [1, 2, 2]
    assert [event.granted for event in rig.seen(RefreshAsked)] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("skews", "told"),
    [
        ([0.0, 59.0], []),
        ([60.0, 239.0], ["warning"]),
        ([-240.0, -1000.0], ["error"]),
        ([100.0, 300.0, 0.0], ["warning", "error", "info"]),
    ],
)
async def test_a_skewed_clock_is_told_when_its_severity_changes(rig: Rig, skews: list[float], told: list[str]) -> None:
    for skew in skews:
        rig.sts.skew = skew
        await rig.after(HOUR)
        assert rig.refresher.look().skew == skew
    assert [event.severity for event in rig.seen(Skewed)] == told


async def test_a_refusal_tells_the_time_too_and_nothing_is_known_before(rig: Rig) -> None:
    assert rig.refresher.look().skew is None
    rig.sts.replies = [HopDenied("AccessDenied", date=EPOCH + 500.0)]
    await rig.after(0)
    assert rig.refresher.look().skew == 500.0


async def test_fallback_regions_take_turns_and_what_they_say_is_only_unavailable(path: Path) -> None:
    rig = Rig(path, (target(last=hop(token_file=str(path), regions=("p", "f", "g"))),))
    rig.sts.replies = [HopUnavailable("Timeout"), HopDenied("RegionDisabledException"), HopUnavailable("Timeout")]
    for _ in range(4):
        await rig.after(60)
    assert [call.region for call in rig.sts.calls] == ["p", "f", "p", "g"]
    assert {event.failure.kind for event in rig.seen(HopFailed)} == {Kind.UNAVAILABLE}
    assert rig.seen(HopSucceeded)[0].attempt.region == "g"


async def test_a_denial_by_the_primary_is_a_denial(path: Path) -> None:
    rig = Rig(path, (target(last=hop(token_file=str(path), regions=("p", "f"))),))
    rig.sts.replies = [HopDenied("AccessDenied")] * 2
    await rig.after(0)
    await rig.after(2)
    assert [call.region for call in rig.sts.calls] == ["p", "p"]
    assert {event.failure.kind for event in rig.seen(HopFailed)} == {Kind.DENIED}


async def test_a_failure_that_repeats_is_told_as_such_and_another_one_is_not(rig: Rig) -> None:
    rig.sts.replies = [HopDenied("AccessDenied"), HopDenied("AccessDenied"), HopDenied("ValidationError")]
    for _ in range(3):
        await rig.after(10)
    failed = rig.seen(HopFailed)
    assert [event.repeated for event in failed] == [False, True, False]
    assert [event.failures for event in failed] == [1, 2, 3]
    assert [event.retry_in for event in failed] == [1.5, 3.0, 6.0]


async def test_d1_a_failure_publishes_what_was_held(rig: Rig) -> None:
    await rig.after(0)
    before = rig.ledger.of(rig.target.hop)
    rig.sts.replies = [HopDenied("AccessDenied")]
    await rig.after(1800)
    after = rig.published[-1].of(rig.target.hop)
    assert (after.session, after.schedule.expiration) == (before.session, before.schedule.expiration)
    assert after.schedule.failures == 1


async def test_d21_whatever_happens_the_ledger_holds_the_configured_hops(rig: Rig) -> None:
    rig.sts.replies = [HopDenied("AccessDenied"), SourceGone("ExpiredToken"), HopUnavailable("Timeout")] * 20
    for number in range(200):
        write_token(rig.path, jti=str(number))
        await rig.after(120)
    assert set(rig.ledger.held) == set(rig.target.hop.chain)


async def test_a_restored_session_keeps_its_due(rig: Rig, path: Path) -> None:
    await rig.after(0)
    again = Rig(path, (rig.target,), ledger=rig.ledger)
    await again.after(100)
    assert again.asked == []
    assert [event.after for event in again.seen(PhaseChanged)] == [Phase.FRESH]


@in_virtual_time
async def test_the_loop_walks_and_is_ended_by_cancellation(rig: Rig) -> None:
    walked = asyncio.Event()

    def last(call: Call) -> Grant:
        walked.set()
        return rig.sts.grant(call)

    rig.sts.replies = [rig.sts.grant, last]
    loop = asyncio.create_task(rig.refresher.run())
    async with asyncio.timeout(5):
        await walked.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert rig.asked == [1, 2]


async def test_the_loop_takes_its_calls_along_when_it_ends(rig: Rig) -> None:
    rig.sts.gate.clear()
    loop = asyncio.create_task(rig.refresher.run())
    await rig.sts.arrived.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert rig.sts.cancelled == 1


@in_virtual_time
async def test_asking_wakes_the_loop(rig: Rig) -> None:
    await rig.after(0)
    rig.sts.arrived.clear()
    loop = asyncio.create_task(rig.refresher.run())
    await asyncio.sleep(0)
    rig.refresher.ask()
    async with asyncio.timeout(1):  # half a poll: it did not wait for the next look
        await rig.sts.arrived.wait()
    assert rig.asked == [1, 2, 2]
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_what_nobody_translated_ends_the_loop_loudly(rig: Rig) -> None:
    rig.sts.replies = [ZeroDivisionError("a bug")]
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await rig.refresher.run()


async def test_a_hop_without_a_source_session_is_a_bug(rig: Rig) -> None:
    with pytest.raises(AssertionError, match="a hop is called when its source can sign"):
        rig.refresher._call(rig.target.hop)


async def test_d16_no_event_of_a_whole_life_prints_a_secret(rig: Rig) -> None:
    rig.sts.replies = [HopDenied("AccessDenied"), rig.sts.grant, SourceGone("ExpiredToken")]
    for _ in range(4):
        await rig.after(HOUR)
    shown = repr(rig.events) + repr(rig.ledger) + repr(rig.sts.calls)
    held = [rig.ledger.of(each).session for each in rig.target.hop.chain]
    secrets = [
        part.reveal() for s in held if s for part in (s.credentials.secret_access_key, s.credentials.session_token)
    ]
    assert len(secrets) == 4
    assert not [secret for secret in [*secrets, *token_text().split(".")[1:]] if secret in shown]
