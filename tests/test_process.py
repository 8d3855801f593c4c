"""What every serving process has: its bugs told by their places, its end by a signal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sidecar.events import Event, HandlerFailed
from sidecar.process import TOLD, Bugs, begin
from tests.wire import HANG


class Room:
    """Bugs with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now, self.events = 0.0, list[Event]()
        self.bugs = Bugs(lambda: self.now, self.events.append)


def raised(error: Exception) -> Exception:
    """`error` as something that was raised here."""
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_bug_is_told_by_type_and_place_and_without_its_message() -> None:
    room = Room()
    room.bugs.failed("status", raised(ValueError("a secret")))
    (failed,) = room.events
    assert isinstance(failed, HandlerFailed)
    assert (failed.face, failed.error, failed.where.partition(":")[0]) == ("status", "ValueError", __file__)
    assert "secret" not in repr(failed)


def test_the_same_bug_is_told_once_in_a_while_and_another_at_once() -> None:
    room, error = Room(), raised(ValueError("a secret"))
    for room.now in (0.0, 0.1, TOLD - 0.01, TOLD):
        room.bugs.failed("status", error)
    room.bugs.failed("credentials", error)
    assert [event.face for event in room.events if isinstance(event, HandlerFailed)] == [
        *("status", "status", "credentials")
    ]


def test_two_bugs_in_turn_are_told_no_more_often_than_one() -> None:
    room, error = Room(), raised(ValueError("a secret"))
    for number in range(1_000):
        room.bugs.failed(("status", "credentials")[number % 2], error)
    assert [event.face for event in room.events if isinstance(event, HandlerFailed)] == ["status", "credentials"]


async def test_what_the_loop_catches_is_told_also_where_it_raised_nothing() -> None:
    room = Room()
    begin(room.bugs)
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "it was never awaited"})
    assert [event.error for event in room.events if isinstance(event, HandlerFailed)] == ["RuntimeError"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(number: signal.Signals) -> None:
    stop = begin(Room().bugs)
    os.kill(os.getpid(), number)
    async with asyncio.timeout(HANG):
        await stop.wait()
