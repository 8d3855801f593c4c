"""Whose turn it is, over real sockets: one at a time, in the order in which they became ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, EpollSelector
from socket import socket, socketpair

import pytest

from sidecar import process
from sidecar.turns import InTurn

BOTH = EVENT_READ | EVENT_WRITE


@pytest.fixture
def turns() -> Iterator[InTurn]:
    with closing(InTurn()) as selector:
        yield selector


@pytest.fixture
def pair() -> Iterator[tuple[socket, socket]]:
    ours, theirs = socketpair()
    with ours, theirs:
        yield ours, theirs


def told(selector: BaseSelector, timeout: float | None = 0) -> list[tuple[object, int]]:
    """What it gives: whom each is about, and what."""
    return [(key.data, events) for key, events in selector.select(timeout)]


def served(selector: BaseSelector, count: int, answers: int) -> list[int]:
    """Who is served in turn, of `count` who always want more: each asks again once the next one has been served."""
    with ExitStack() as stack:
        pairs = [socketpair() for _ in range(count)]
        for number, (ours, theirs) in enumerate(pairs):
            stack.enter_context(ours)
            stack.enter_context(theirs).send(b"x")
            selector.register(ours, EVENT_READ, number)
        found: list[int] = []
        while len(found) < answers:
            for key, _ in selector.select(0):
                pairs[key.data][0].recv(1)
                if found:
                    pairs[found[-1]][1].send(b"x")
                found.append(key.data)
        return found


def longest_wait(order: list[int]) -> int:
    """How many are served, at most, from one turn of somebody to the next."""
    return max(order[at + 1 :].index(who) + 1 for at, who in enumerate(order) if who in order[at + 1 :])


@pytest.mark.parametrize("count", [2, 3, 32])
def test_nobody_waits_for_more_than_one_turn_of_each_other(turns: InTurn, count: int) -> None:
    assert longest_wait(served(turns, count, 10 * count)) == count


def test_where_all_are_told_of_at_once_somebody_does() -> None:
    with closing(EpollSelector()) as selector:
        assert longest_wait(served(selector, 32, 320)) > 60


def test_it_tells_what_can_be_done_and_was_asked_for(turns: InTurn, pair: tuple[socket, socket]) -> None:
    ours, theirs = pair
    turns.register(ours, EVENT_READ, "it")
    assert told(turns) == []
    turns.modify(ours, BOTH, "it")
    assert told(turns) == [("it", EVENT_WRITE)]
    theirs.send(b"x")
    assert told(turns) == [("it", BOTH)]
    turns.modify(ours, EVENT_READ, "it")
    assert told(turns) == [("it", EVENT_READ)]
    turns.unregister(ours)
    assert told(turns) == []


def test_who_hangs_up_is_told_to_readers_and_to_writers(turns: InTurn, pair: tuple[socket, socket]) -> None:
    ours, theirs = pair
    turns.register(ours, BOTH, "it")
    theirs.close()
    assert told(turns) == [("it", BOTH)]
    turns.modify(ours, EVENT_WRITE, "it")
    assert told(turns) == [("it", EVENT_WRITE)]


def test_it_waits_for_what_comes_at_most_so_long(turns: InTurn, pair: tuple[socket, socket]) -> None:
    ours, theirs = pair
    turns.register(ours, EVENT_READ, "it")
    assert told(turns, -1) == told(turns, 0) == told(turns, 1e-6) == []
    theirs.send(b"x")
    assert told(turns, None) == told(turns, 3600) == [("it", EVENT_READ)]


def queues() -> int:
    """How many handles of the kernel's queues this process has open."""
    links = (os.path.realpath(path) for path in Path("/proc/self/fd").iterdir())
    return sum(link.endswith("anon_inode:[eventpoll]") for link in links)


def test_it_gives_back_what_it_opened() -> None:
    before = queues()
    selector = InTurn()
    assert queues() == before + 2
    selector.close()
    assert queues() == before


def test_every_process_that_serves_does_so_in_turn() -> None:
    before = queues()

    async def serving() -> int:
        return queues() - before

    assert process.run(serving()) == 2
    assert queues() == before
