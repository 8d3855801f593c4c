"""The credential endpoint: what the last good walk brought, from one immutable snapshot.

A request is answered from memory: it never causes, awaits or cancels a call to STS, renders no 200 and logs nothing.
The only wait is for the very first outcome of a target that nothing is known of yet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from sidecar.contract import Answer, Door, Refusal, Request, answer, entry, path, refuse
from sidecar.ledger import Ledger
from sidecar.model import Secret, Target

PATH = "/v1/credentials"
# R20 allows 800 ms, the rest is for the way there and back. A single 503 is fatal to some clients, a second of
# silence to others.
PATIENCE = 0.75


class Meter(Protocol):
    """What is counted. Every request is either answered or refused, and is counted once."""

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        """An answer on the target's merits after `seconds`; `lifetime`: what was left of served credentials."""

    def refused(self, reason: str) -> None:
        """A request that was turned away."""


class Endpoint:
    """Serves `targets`, the first of them also without its name.

    `tokens` are the authorization tokens by target name; None: nobody is asked for one. `clock` gives the seconds of
    the sidecar's own clock.
    """

    patience = PATIENCE

    def __init__(
        self, targets: Sequence[Target], tokens: Mapping[str, Secret] | None, clock: Callable[[], float], meter: Meter
    ) -> None:
        self._targets, self._clock, self._meter = tuple(targets), clock, meter
        doors = {t.name: Door(target=t.name, token=tokens[t.name] if tokens else None) for t in targets}
        self._doors = {f"{PATH}/{name}": door for name, door in doors.items()} | {PATH: doors[targets[0].name]}
        self._news = asyncio.Event()
        self.publish(Ledger())

    def publish(self, ledger: Ledger) -> None:
        """From now on serve what `ledger` holds; requests that wait look again."""
        self._entries = {target.name: entry(ledger, target) for target in self._targets}
        self._news.set()
        self._news = asyncio.Event()

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """The answer, or the wait for the first one."""
        began = self._clock()
        door = self._doors.get(request.target) or self._doors.get(path(request.target))
        refusal = refuse(request, door)
        if refusal or not door:
            refusal = refusal or Refusal.PATH
            self._meter.refused(refusal)
            return refusal.answer
        if self._entries[door.target].waits:
            return self._awaited(door.target, began)
        return self._answered(door.target, began)

    def _answered(self, target: str, began: float) -> Answer:
        now, entry = self._clock(), self._entries[target]
        given = answer(entry, now)
        self._meter.answered(target, given.status, now - began, entry.expiration - now if given.status == 200 else None)
        return given

    async def _awaited(self, target: str, began: float) -> Answer:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                while self._entries[target].waits:
                    await self._news.wait()
        return self._answered(target, began)
