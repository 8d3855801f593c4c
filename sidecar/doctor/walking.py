"""The walk, for real: by the daemon's own refresher, with what AWS says of a refusal looked through for clues.

Where a role refuses a hop that carries session tags or a source identity, it is asked once more without them: whether
it then grants is the one way to know that they are what is not allowed. What that grants is thrown away.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from sidecar import events as e
from sidecar.doctor.facts import Clue, Outcome, Reach, Walk
from sidecar.doctor.network import reach
from sidecar.errors import HopError, TokenError
from sidecar.ledger import Ledger
from sidecar.model import Hop, Outside, Target
from sidecar.refresher import DEADLINE, Refresher
from sidecar.sts import Call, Grant, Sts

# What the running call hears from AWS; a client is shared by all hops, a task is one call.
_ear: ContextVar[set[Clue] | None] = ContextVar("ear", default=None)
# What a hop can be asked for without, by the action that it then does not need.
_PARTS: Mapping[str, Mapping[str, Any]] = {
    "sts:TagSession": {"tags": (), "transitive_tags": ()},
    "sts:SetSourceIdentity": {"source_identity": None},
}


class Walker:
    """One walk of some targets, and the ways there."""

    def __init__(self, outside: Outside) -> None:
        self._outside, self._sts = outside, Sts(outside.wall, _hear)
        self._outcomes: dict[Hop, Outcome] = {}
        self._calls: dict[Hop, tuple[Call, frozenset[Clue]]] = {}

    async def look(
        self, targets: Sequence[Target], able: Sequence[Target], environ: Mapping[str, str]
    ) -> tuple[Mapping[str, Reach], Walk]:
        """The way to STS in each region of `targets`, and the walk of those that are `able` where it is open."""
        async with self._sts:
            reached = {region: await self._reach(region, environ) for region in _regions(targets)}
            open_to = [target for target in able if reached[target.hop.regions[0]].is_open]
            return reached, await self._walk(open_to)

    async def _reach(self, region: str, environ: Mapping[str, str]) -> Reach:
        url, authorities = await self._sts.place(region)
        return await asyncio.to_thread(reach, region, url, authorities, environ)

    async def _walk(self, targets: Sequence[Target]) -> Walk:
        refresher = Refresher(
            targets, self._assume, self._outside, ledger=Ledger(), publish=lambda _: None, observe=self._observe
        )
        await refresher.settle()
        for hop, outcome in [*self._outcomes.items()]:
            if outcome.failure and outcome.failure.code == "AccessDenied" and hop.source:
                self._outcomes[hop] = replace(outcome, without=await self._without(hop))
        return Walk(outcomes=self._outcomes, skew=refresher.look().skew)

    async def _assume(self, call: Call) -> Grant:
        heard: set[Clue] = set()
        _ear.set(heard)
        try:
            return await self._sts.assume(call)
        finally:
            self._calls[call.hop] = call, frozenset(heard)

    def _observe(self, event: e.Event) -> None:
        match event:
            case e.HopSucceeded():
                self._outcomes[event.attempt.hop] = Outcome(arn=event.arn, lifetime=event.lifetime)
            case e.HopFailed():
                hop = event.attempt.hop
                clues = self._calls[hop][1] if hop in self._calls else frozenset()
                self._outcomes[hop] = Outcome(failure=event.failure, clues=clues)
            case _:
                pass

    async def _without(self, hop: Hop) -> tuple[str, ...] | None:
        """The fewest actions without which STS grants `hop`; empty where it never does, None where it carries none."""
        carried = [action for action, part in _PARTS.items() if any(getattr(hop, name) for name in part)]
        for actions in _subsets(carried):
            parts: dict[str, Any] = {}
            for action in actions:
                parts |= _PARTS[action]
            bare = replace(hop, **parts)
            if await self._is_granted(replace(self._calls[hop][0], hop=bare)):
                return actions
        return () if carried else None

    async def _is_granted(self, call: Call) -> bool:
        try:
            async with asyncio.timeout(DEADLINE):
                await self._sts.assume(call)
        except (TimeoutError, HopError, TokenError):
            return False
        return True


def _regions(targets: Sequence[Target]) -> Iterator[str]:
    return iter(dict.fromkeys(target.hop.regions[0] for target in targets))


def _subsets(actions: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each alone, then all of them."""
    yield from ((action,) for action in actions)
    if len(actions) > 1:
        yield tuple(actions)


def _hear(message: str) -> None:
    heard, said = _ear.get(), message.lower()
    if heard is not None:
        heard.update(clue for clue in Clue if clue in said)
