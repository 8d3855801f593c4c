"""The one loop: look at the tokens, ask what is due, call it, put the outcome into a new ledger, publish it.

    turn:  read tokens ─▶ next_call(ledger, target, now) for every target ─▶ one task per hop
    task:  STS ─▶ succeeded | failed ─▶ a new ledger ─▶ publish ─▶ another turn

A hop is called by one task at a time, whoever needs it; nobody who waits for a session can cancel the call that brings
it. Everything that is decided is decided in `ledger` and `schedule`; here is only what happens in time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sidecar import events as e
from sidecar.errors import HopError, HopUnavailable, TokenError, TokenTrouble
from sidecar.ledger import Ledger, Picture, next_call, region, wake
from sidecar.model import Failure, Hop, Kind, Outside, Phase, Target, Token
from sidecar.remedies import remedy
from sidecar.schedule import SHORTEST
from sidecar.sts import Call, Grant
from sidecar.token_file import Reading, read

# How often the tokens are read: a read and a decode cost tens of microseconds, and kubelet rotates hours ahead.
POLL = 2.0
# One STS call, connection and all. A regional call takes 0.1 s; SDKs of workloads wait on us, not on STS.
DEADLINE = 5.0
# By how much two ends may differ that are the same: STS speaks in whole seconds, twice.
ROUNDING = 2.0
# SigV4 tolerates about five minutes: people are warned long before, and told the cause shortly before.
SKEW_WARNING, SKEW_CAUSE = 60.0, 240.0


# The port to STS: one call, one grant, or one of our errors.
Assume = Callable[[Call], Awaitable[Grant]]


class Refresher:
    """Keeps the sessions of `targets` alive; `publish` gets every new ledger, `observe` every event."""

    def __init__(
        self,
        targets: Sequence[Target],
        assume: Assume,
        outside: Outside,
        *,
        ledger: Ledger,
        publish: Callable[[Ledger], None],
        observe: e.Observe,
        deadline: float = DEADLINE,
    ) -> None:
        self.targets, self.ledger, self.turned = tuple(targets), ledger, outside.clock()
        self._assume, self._deadline = assume, deadline
        self._clock, self._wall, self._chance = outside.clock, outside.wall, outside.chance
        self._publish, self._observe = publish, observe
        self._readings = {path: Reading() for path in sorted({t.hop.chain[0].token_file for t in self.targets})}
        self._phases = {target.name: Phase.EMPTY for target in self.targets}
        self._calls: dict[Hop, asyncio.Task[None]] = {}
        self._stir = asyncio.Event()
        self._offset: float | None = None  # STS's clock less ours, once STS has answered
        self._skewed = "info"

    def look(self, *, is_stopping: bool = False) -> Picture:
        """What there is to see now, for metrics and status."""
        ends = [each.token.claims.expiration for each in self._readings.values() if each.token]
        now, wall = self._clock(), self._wall()
        skew, end = None if self._offset is None else now + self._offset - wall, min(ends, default=None)
        return Picture(self.ledger, now, wall, self.turned, skew=skew, token_expiration=end, is_stopping=is_stopping)

    async def run(self) -> None:
        """Refreshes until cancelled."""
        try:
            while True:
                self._stir.clear()
                self.turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):  # wait_for of Python 3.11 can lose a cancellation
                        await self._stir.wait()
        finally:
            for call in self._calls.values():
                call.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    async def settle(self) -> None:
        """Walks until nothing is due: the whole life of `once`."""
        self.turn()
        while self._calls:
            await asyncio.wait(self._calls.values())
            self.turn()

    def ask(self) -> None:
        """Refresh now, whatever the schedule says; at most once in ten seconds."""
        ledger = self.ledger.asked(self.targets, self._clock())
        self._observe(e.RefreshAsked(granted=ledger is not self.ledger))
        self.ledger = ledger
        self._stir.set()

    def turn(self) -> None:
        """One look at the tokens and the ledger; starts a task for every hop that is due."""
        self.turned = self._clock()
        for hop in [hop for hop, call in self._calls.items() if call.done()]:
            self._calls.pop(hop).result()  # an error that nobody translated is a bug: it ends the loop
        for path in self._readings:
            self._look_at(path)
        self._watch_phases()
        for hop, targets in self._due().items():
            if hop not in self._calls:
                self._calls[hop] = asyncio.create_task(self._attempt(hop, targets), name=f"hop {hop.position}")
                self._calls[hop].add_done_callback(lambda _: self._stir.set())

    def _due(self) -> dict[Hop, tuple[str, ...]]:
        due: dict[Hop, tuple[str, ...]] = {}
        for target in self.targets:
            if hop := next_call(self.ledger, target, self._clock()):
                due[hop] = (*due.get(hop, ()), target.name)
        return due

    def _pause(self) -> float:
        now = self._clock()
        instants = [wake(self.ledger, target, now) - now for target in self.targets]
        return min([POLL, *(seconds for seconds in instants if seconds > 0)])

    async def _attempt(self, hop: Hop, targets: tuple[str, ...]) -> None:
        """One call, from what is held to a new ledger."""
        sent, where = self._clock(), None
        try:
            call = self._call(hop)
            where = call.region
            async with asyncio.timeout(self._deadline):
                grant = await self._assume(call)
            self._note_date(grant.date, sent)
            # STS grants no more than was asked for: what says so has a wrong `Date`.
            lifetime = min(grant.lifetime, hop.duration)
            grant = replace(grant, lifetime=sent + lifetime - self._clock())
            _check(hop, grant, self._shortest(hop))
        except TimeoutError:
            self._failed(hop, targets, sent, where, HopUnavailable("Timeout"))
        except (TokenError, HopError) as error:
            self._note_date(error.date, sent)
            self._failed(hop, targets, sent, where, error)
        else:
            self._succeeded(hop, targets, sent, call.region, grant)

    def _shortest(self, hop: Hop) -> float:
        """The shortest life worth having: what is served never goes back to an earlier end."""
        if hop not in {target.hop for target in self.targets}:
            return SHORTEST
        return max(SHORTEST, self.ledger.of(hop).schedule.expiration - self._clock() - ROUNDING)

    def _call(self, hop: Hop) -> Call:
        where = region(self.ledger.of(hop).schedule, hop.regions)
        if hop.source is None:
            token = self._token(hop.token_file)
            name = hop.session_name or token.claims.session_name
            return Call(hop=hop, region=where, session_name=name, token=token.value)
        source = self.ledger.of(hop.source).session
        assert source is not None, "a hop is called when its source can sign"
        name = hop.session_name or source.identity.session_name
        return Call(hop=hop, region=where, session_name=name, source=source.credentials)

    def _token(self, path: str) -> Token:
        """The token to spend, read again now; an expired one (by STS's time) is not worth a call.

        Then STS's time is forgotten, so that the next attempt asks: one wrong `Date` must not last until the rotation.
        """
        self._look_at(path)
        reading = self._readings[path]
        if reading.token is None:
            raise reading.error or TokenError(TokenTrouble.MISSING, path, remedy("TokenMissing", 1))
        if self._offset is not None and reading.token.claims.expiration <= self._clock() + self._offset:
            self._offset = None
            raise TokenError(TokenTrouble.EXPIRED, path, remedy("TokenExpired", 1))
        return reading.token

    def _look_at(self, path: str) -> None:
        before = self._readings[path]
        reading = self._readings[path] = read(path, before)
        if not reading.is_news_after(before):
            return
        if reading.error:
            self._observe(e.TokenFailed(path=path, reason=reading.error.reason, detail=reading.error.detail))
            return
        self.ledger = self.ledger.rotated(path, self._clock())
        if (token := reading.token) and token != before.token:
            self._observe(e.TokenRead(path=path, claims=token.claims, rotated=before.token is not None))

    def _succeeded(self, hop: Hop, targets: tuple[str, ...], sent: float, where: str, grant: Grant) -> None:
        now, session, life = self._clock(), grant.session, grant.lifetime
        self.ledger = self.ledger.succeeded(hop, session, lifetime=life, now=now, chance=self._chance())
        self._publish(self.ledger)
        made = e.Attempt(hop=hop, targets=targets, region=where, seconds=now - sent, request_id=grant.request_id)
        key, until = session.credentials.access_key_id, session.credentials.expiration.isoformat()
        facts = {"expiration": until, "access_key_id": key, "arn": session.identity.arn}
        self._observe(e.HopSucceeded(attempt=made, lifetime=life, packed=grant.packed, **facts))
        self._watch_phases()

    def _failed(
        self, hop: Hop, targets: tuple[str, ...], sent: float, where: str | None, error: TokenError | HopError
    ) -> None:
        now, before = self._clock(), self.ledger.of(hop).schedule.streak
        # Whatever a fallback region says only means that it was of no use.
        kind = Kind.UNAVAILABLE if error.kind is Kind.DENIED and where != hop.regions[0] else error.kind
        failure = Failure(kind=kind, code=error.code, hint=remedy(error.code, hop.position))
        self.ledger = self.ledger.failed(hop, failure, now=now, chance=self._chance())
        self._publish(self.ledger)
        made = e.Attempt(hop=hop, targets=targets, region=where, seconds=now - sent, request_id=error.request_id)
        schedule, token = self.ledger.of(hop).schedule, self._readings[hop.chain[0].token_file].token
        claims = token.claims if token and hop.source is None and failure.kind is Kind.DENIED else None
        count, pause, again = schedule.failures, schedule.due - now, before is not None and before.error == failure
        self._observe(
            e.HopFailed(attempt=made, failure=failure, failures=count, retry_in=pause, repeated=again, claims=claims)
        )

    def _watch_phases(self) -> None:
        now = self._clock()
        for target in self.targets:
            schedule = self.ledger.of(target.hop).schedule
            before, after = self._phases[target.name], schedule.phase(now)
            if after is not before:
                self._phases[target.name] = after
                remaining = schedule.expiration - now
                self._observe(e.PhaseChanged(target=target.name, before=before, after=after, remaining=remaining))

    def _note_date(self, date: float | None, sent: float) -> None:
        if date is None:
            return
        self._offset = date - sent
        seconds = date - self._wall()
        severity = "error" if abs(seconds) >= SKEW_CAUSE else "warning" if abs(seconds) >= SKEW_WARNING else "info"
        if severity != self._skewed:
            self._skewed = severity
            self._observe(e.Skewed(seconds=seconds, severity=severity))


def _check(hop: Hop, grant: Grant, shortest: float) -> None:
    """Whether what was granted is what was asked for and worth having."""
    if not grant.session.identity.is_of(hop.role):
        raise HopUnavailable("WrongIdentity", request_id=grant.request_id)
    if grant.lifetime < shortest:
        raise HopUnavailable("ShortSession", request_id=grant.request_id)
