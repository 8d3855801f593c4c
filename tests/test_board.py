from __future__ import annotations

import asyncio

from sidecar.board import PATIENCE, Board
from sidecar.contract import Answer, Refusal, entry
from sidecar.ledger import Ledger
from tests.builders import HOUR, held, targets
from tests.test_endpoint import Clock, Counts

FIRST, SECOND = targets(2)
EMPTY = {"one": entry(Ledger(), FIRST), "other": entry(Ledger(), SECOND)}
WALKED = {"one": entry(held(*FIRST.hop.chain), FIRST), "other": EMPTY["other"]}


def board(patience: float = PATIENCE) -> tuple[Board[str], Counts]:
    counts = Counts()
    made: Board[str] = Board(Clock(), counts)
    made.patience = patience
    made.publish(EMPTY)
    return made, counts


async def test_what_is_held_is_given_at_once_and_counted_under_its_target() -> None:
    made, counts = board()
    made.publish(WALKED)
    given = made.give("one", 0.0)
    assert isinstance(given, Answer)
    assert given.status == 200
    assert counts.answers == [(FIRST.name, 200, 0.0, float(HOUR))]


async def test_whoever_waits_is_given_what_is_published_meanwhile() -> None:
    made, _ = board(patience=5.0)
    pending = made.give("one", 0.0)
    assert not isinstance(pending, Answer)
    asyncio.get_running_loop().call_soon(made.publish, WALKED)
    assert (await pending).status == 200


async def test_the_wait_ends_with_patience_though_others_are_served() -> None:
    made, counts = board(patience=0.05)
    pending = made.give("other", 0.0)
    assert not isinstance(pending, Answer)
    made.publish(WALKED)
    assert (await pending).status == 503
    assert counts.answers == [(SECOND.name, 503, 0.0, None)]


async def test_a_refusal_is_counted_by_its_reason() -> None:
    made, counts = board()
    assert made.refuse(Refusal.PATH).status == 404
    assert counts.refusals == ["path"]
