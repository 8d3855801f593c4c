"""What can be served now: one immutable snapshot for each face, and the wait for what it does not hold yet.

A request is answered from memory: it never causes, awaits or cancels a call to STS and renders no 200. The only wait is
for the very first outcome of a target that nothing is known of yet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from sidecar.contract import Answer, Entry, Refusal, answer

# R20 allows 800 ms, the rest is for the way there and back. A single 503 is fatal to some clients, a second of
# silence to others.
PATIENCE = 0.75

Key = TypeVar("Key")


class Meter(Protocol):
    """What is counted. Every request for credentials is either answered or refused, and is counted once."""

    def answered(self, target: str, status: int, seconds: float, lifetime: float | None) -> None:
        """An answer on the target's merits after `seconds`; `lifetime`: what was left of served credentials."""

    def refused(self, reason: str) -> None:
        """A request that was turned away."""


class Board(Generic[Key]):
    """The entries that one face answers from, by keys of its own; `clock` gives seconds of the sidecar's own clock."""

    patience = PATIENCE

    def __init__(self, clock: Callable[[], float], meter: Meter) -> None:
        self.clock, self.meter = clock, meter
        self._entries: Mapping[Key, Entry] = {}
        self._news = asyncio.Event()

    def publish(self, entries: Mapping[Key, Entry]) -> None:
        """From now on answer with `entries`; requests that wait look again."""
        self._entries = entries
        self._news.set()
        self._news = asyncio.Event()

    def refuse(self, refusal: Refusal) -> Answer:
        """The answer to who is turned away."""
        self.meter.refused(refusal)
        return refusal.answer

    def give(self, key: Key, began: float) -> Answer | Awaitable[Answer]:
        """The answer to who asked for the entry `key` at `began`, or the wait for the first one."""
        return self._awaited(key, began) if self._entries[key].waits else self._answered(key, began)

    def _answered(self, key: Key, began: float) -> Answer:
        now, entry = self.clock(), self._entries[key]
        given = answer(entry, now)
        left = entry.expiration - now if given.status == 200 else None
        self.meter.answered(entry.target, given.status, now - began, left)
        return given

    async def _awaited(self, key: Key, began: float) -> Answer:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                while self._entries[key].waits:
                    await self._news.wait()
        return self._answered(key, began)
