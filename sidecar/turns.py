"""Whose turn it is: ready files are told of one at a time, in the order in which they became ready. Linux alone.

asyncio asks for all at once and serves them in a round. Whoever is served last asks again when the next round has just
begun, and waits for the whole of two: so one answer in as many as there are connections takes twice as long as the
others. With one at a time the kernel keeps the queue, and everybody waits for everybody else once.
"""

import os
import select
from math import ceil
from selectors import EVENT_READ, EVENT_WRITE, EpollSelector, SelectorKey


class InTurn(EpollSelector):
    """Its base, but for how much `select` gives."""

    def __init__(self) -> None:
        super().__init__()
        self._queue = select.epoll.fromfd(os.dup(self.fileno()))  # the same queue in the kernel

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """What is ready first, if anything is within `timeout` seconds, rounded up to what the kernel counts."""
        wait = -1 if timeout is None else max(ceil(timeout * 1e3), 0) / 1e3
        return [
            (key, self._meant(event) & key.events)
            for number, event in self._queue.poll(wait, 1)
            if (key := self.get_map().get(number))
        ]

    @staticmethod
    def _meant(event: int) -> int:
        """An error is told to readers and to writers."""
        reads, writes = event & ~select.EPOLLOUT, event & ~select.EPOLLIN
        return (EVENT_READ if reads else 0) | (EVENT_WRITE if writes else 0)

    def close(self) -> None:
        """Gives both handles of the queue back."""
        self._queue.close()
        super().close()
