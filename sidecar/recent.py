"""The latest events for the status: a subscriber beside log and metrics, and a bounded one.

It keeps sentences that everybody may read, not events: what is not told here cannot be shown later.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from sidecar.events import Event, level, sentence
from sidecar.formats import utc_of

# An outage, its end and what led to it: a screen or two, and some kilobytes.
MOST = 50


class Recent:
    """The last MOST events that a log at level `info` has; `wall` gives Unix seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._told: deque[Mapping[str, str]] = deque(maxlen=MOST)

    def observe(self, event: Event) -> None:
        """Keeps what `event` says, unless it only repeats itself."""
        loud = level(event)
        if loud != "debug":
            at = utc_of(self._wall())
            name = type(event).__name__
            self._told.appendleft({"at": at, "level": loud, "event": name, "message": sentence(event)})

    def told(self) -> Sequence[Mapping[str, str]]:
        """Instant, level, name and sentence of each, the latest first."""
        return tuple(self._told)
