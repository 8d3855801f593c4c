"""What the status remembers: bounded, in the log's words, and nothing that is the log's alone."""

from __future__ import annotations

from sidecar import events as e
from sidecar.model import Phase
from sidecar.recent import MOST, Recent


def moved(before: Phase, after: Phase) -> e.PhaseChanged:
    return e.PhaseChanged(target="default", before=before, after=after, remaining=60.0)


def test_the_latest_come_first_and_the_oldest_go() -> None:
    wall = iter(range(MOST + 10))
    recent = Recent(lambda: float(next(wall)))
    for drain in range(MOST + 10):
        recent.observe(e.Stopping(drain=float(drain)))
    told = recent.told()
    assert len(told) == MOST
    assert told[0] == {
        "at": "1970-01-01T00:00:59Z",
        "level": "info",
        "event": "Stopping",
        "message": "stopping; serving on for 59 s",
    }
    assert told[-1]["message"] == "stopping; serving on for 10 s"


def test_what_only_repeats_itself_is_left_out() -> None:
    recent = Recent(lambda: 0.0)
    recent.observe(moved(Phase.FRESH, Phase.STALE))
    assert recent.told() == ()
    recent.observe(moved(Phase.STALE, Phase.EXPIRED))
    assert [each["level"] for each in recent.told()] == ["error"]
