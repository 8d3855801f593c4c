"""Every number of docs/scale.md: computed from the schedule's constants, and counted on fleets of simulated pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median

import pytest

from sidecar.archive import dump, load
from sidecar.ledger import Ledger
from sidecar.model import Failure, Hop, Kind, Target
from sidecar.refresher import DEADLINE
from sidecar.schedule import BACKOFF_AT, BACKOFF_SPREAD, CAPS, DUE_AT, DUE_SPREAD, LAPSE
from tests.builders import HOUR, ROLE_A, ROLE_B, TOKEN_FILE, failure, held, hop, session, target
from tests.fleet import ANSWER, Bucket, Pod, fleet, healthy, rush
from tests.harness import Life, in_virtual_time
from tests.test_docs import rows, text

PAGE = "docs/scale.md"
QUOTA = 600
MINUTE = 60.0
DAY = 24.0  # hours
# Of a session's life, when the next walk comes on the average; and the longest pauses of a failing hop likewise.
MEAN_DUE = DUE_AT - DUE_SPREAD / 2
PAUSES = {kind: cap * (BACKOFF_AT + BACKOFF_SPREAD / 2) for kind, cap in CAPS.items()}


def chained(targets: int = 1, *, duration: int = HOUR, source: int = HOUR) -> tuple[Target, ...]:
    """Targets in Account B whose first hop is one and the same."""
    first = hop(ROLE_A, duration=source)
    lasts = (hop(f"{ROLE_B}-{number}", source=first, duration=duration) for number in range(targets))
    return tuple(target(f"t{number}", last) for number, last in enumerate(lasts))


def direct(duration: int = HOUR) -> tuple[Target, ...]:
    return (target(last=hop(ROLE_B, duration=duration)),)


CHAINS = {
    "chained, as in the README": chained(),
    "three targets with a common hop 1": chained(3),
    "`SIDECAR_SOURCE_DURATION=43200`": chained(source=43200),
    "`SIDECAR_DURATION=900`": chained(duration=900),
    "direct": direct(),
    "direct, `SIDECAR_DURATION=43200`": direct(43200),
}


def table(heading: str) -> dict[str, list[str]]:
    """The cells of a table by the first of each row, which no two have in common."""
    listed = [(first, cells) for first, *cells in rows(PAGE, heading)]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def prose() -> str:
    """The page without its line breaks."""
    return " ".join(text(PAGE).split())


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.replace(",", "").removesuffix(" s") or 0) for cell in cells]


def counted(lived: list[Pod], begin: float, end: float) -> list[float]:
    """Calls on hop 1 and hop 2 per pod and hour, of the hours from `begin` to `end`."""
    made = Counter(call.position for pod in lived for call in pod.calls if begin * HOUR <= call.at < end * HOUR)
    return [made[position] / len(lived) / (end - begin) for position in (1, 2)]


def test_the_page_has_every_chain() -> None:
    assert table("A pod in steady state").keys() == CHAINS.keys()


@pytest.mark.parametrize("name", CHAINS)
def test_a_fleet_in_steady_state_makes_as_many_calls_as_the_page_says(name: str) -> None:
    lived = fleet(CHAINS[name], 60, 5 * DAY, within=DAY)
    found = counted(lived, DAY, 5 * DAY)
    assert found == pytest.approx(numbers(table("A pod in steady state")[name]), rel=0.02, abs=0.01)


@pytest.mark.parametrize("name", CHAINS)
def test_the_last_hop_is_called_once_in_the_mean_time_to_its_next_walk(name: str) -> None:
    last, *_ = {each.hop for each in CHAINS[name]}
    rate = len(CHAINS[name]) * HOUR / (last.duration * MEAN_DUE)
    assert table("A pod in steady state")[name][last.position - 1] == f"{rate:.2f}"


def hop_1() -> float:
    """Calls per hour on hop 1 of the README's chain, where the second or the third walk finds its session lapsed."""
    missing = 2 * DUE_AT - (1 - LAPSE / HOUR)  # of the longest two waits, how much is missing to the lapse
    assert 0 < missing < DUE_SPREAD
    third = 1 - missing**2 / (2 * DUE_SPREAD**2)  # two waits, each anywhere in DUE_SPREAD, are that much shorter
    return 1 / (MEAN_DUE * (2 + third))


def test_hop_1_is_called_by_every_second_or_third_walk() -> None:
    assert table("A pod in steady state")["chained, as in the README"][0] == f"{hop_1():.2f}"


def test_of_three_hops_the_first_two_are_called_alike() -> None:
    first = hop(ROLE_A)
    third = hop(ROLE_B, source=hop(f"{ROLE_B}-2", source=first))
    found = counted(fleet([target(last=third)], 100, 6 * DAY, within=DAY), DAY, 6 * DAY)
    assert found == pytest.approx([hop_1(), hop_1()], rel=0.02)
    assert f"the first two make {hop_1():.2f} each, the third {1 / MEAN_DUE:.2f}" in prose()


class Even(Random):
    """No chance at all."""

    def random(self) -> float:
        return 0.5


@in_virtual_time
async def test_the_daemon_itself_makes_the_calls_of_a_pod_of_the_fleet(tmp_path: Path) -> None:
    pod = Pod(chained(), Even(), healthy)
    pod.live(0.0, 10 * HOUR)
    async with Life(tmp_path, chance=0.5) as life:
        await life.passes(10 * HOUR)
        made = [call.action for call in life.sts.calls]
    actions = {1: "AssumeRoleWithWebIdentity", 2: "AssumeRole"}
    assert made == [actions[call.position] for call in pod.calls]
    assert len(made) > 25


def restarted(ledger: Ledger, targets: tuple[Target, ...]) -> Ledger:
    return load(dump(ledger, "boot"), targets, "boot", MINUTE)[0]


EVENTS: dict[str, Callable[[Ledger, tuple[Target, ...]], Ledger]] = {
    "a pod starts: rollout, scaling, eviction, each pod of a Job": lambda *_: Ledger(),
    "the sidecar alone restarts, with `SIDECAR_STATE_DIR`": restarted,
    "the sidecar alone restarts, without": lambda *_: Ledger(),
    "the token rotates, all is well": lambda ledger, _: ledger.rotated(TOKEN_FILE, MINUTE),
    "SIGHUP": lambda ledger, targets: ledger.asked(targets, MINUTE),
}


def calls_after(ledger: Ledger, targets: tuple[Target, ...], now: float) -> Counter[int]:
    """What a pod with this ledger calls within ten minutes, by hop."""
    pod = Pod(targets, Even(), healthy, ledger)
    pod.live(now, now + 10 * MINUTE)
    return Counter(call.position for call in pod.calls)


def test_the_page_has_every_event() -> None:
    assert table("What happens, in calls").keys() == EVENTS.keys()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", EVENTS)
def test_an_event_makes_as_many_calls_as_the_page_says(name: str, count: int) -> None:
    targets = chained(count)
    before = held(targets[0].hop.chain[0], *(each.hop for each in targets))
    said = Counter[int]()
    for position, cell in zip((1, 2), table("What happens, in calls")[name], strict=True):
        said[position] = int(cell[0]) * (count if "per target" in cell else 1)
    assert calls_after(EVENTS[name](before, targets), targets, MINUTE) == said


def test_sighup_calls_hop_1_too_where_its_session_has_lapsed() -> None:
    (each,) = targets = chained()
    lapsed = HOUR - LAPSE
    before = held(each.hop.chain[0]).succeeded(each.hop, session(), lifetime=HOUR, now=lapsed - MINUTE, chance=0.5)
    assert calls_after(before.asked(targets, lapsed), targets, lapsed) == {1: 1, 2: 1}


# What fails: which of the two hops (0: both), how, for how many targets.
FAILURES = {
    "STS is unavailable": (0, Kind.UNAVAILABLE, 1),
    "STS is unavailable, three targets": (0, Kind.UNAVAILABLE, 3),
    "hop 1 is denied": (1, Kind.DENIED, 1),
    "hop 2 is denied": (2, Kind.DENIED, 1),
    "hop 2 of all three targets is denied": (2, Kind.DENIED, 3),
}


def test_the_page_has_every_failure() -> None:
    assert table("When STS fails").keys() == FAILURES.keys()


def since_the_first_failure(pod: Pod, begin: float, which: int) -> Iterator[tuple[int, int]]:
    """The calls of a pod whose hop `which` (0: any) fails from `begin` on: the hour of each, and its hop."""
    calls = [call for call in pod.calls if call.at >= begin]
    first = next(call.at for call in calls if which in (0, call.position))
    return ((int((call.at - first) / HOUR), call.position) for call in calls if call.at >= first)


@pytest.mark.parametrize("name", FAILURES)
def test_a_fleet_makes_as_many_calls_in_a_failure_as_the_page_says(name: str) -> None:
    which, kind, targets = FAILURES[name]
    begin, later = 8 * HOUR, range(1, 3)

    def failing(called: Hop, now: float) -> Failure | None:
        return failure(kind) if now >= begin and which in (0, called.position) else None

    lived = fleet(chained(targets), 500, 9 + later.stop, failing, within=6)
    made = Counter(call for pod in lived for call in since_the_first_failure(pod, begin, which))
    first = [made[0, position] / len(lived) for position in (1, 2)]
    each = [sum(made[hour, position] for hour in later) / len(later) / len(lived) for position in (1, 2)]
    assert [*first, *each] == pytest.approx(numbers(table("When STS fails")[name]), abs=1, rel=0.05)


def test_the_calls_of_a_later_hour_are_those_that_the_longest_pauses_leave() -> None:
    found = table("When STS fails")
    for name, column, kind, targets in (
        ("STS is unavailable", 2, Kind.UNAVAILABLE, 1),
        ("hop 1 is denied", 2, Kind.DENIED, 1),
        ("hop 2 is denied", 3, Kind.DENIED, 1),
        ("hop 2 of all three targets is denied", 3, Kind.DENIED, 3),
    ):
        assert found[name][column] == f"{targets * per_hour(kind):.0f}", name
    assert f"and an hour has {HOUR / (PAUSES[Kind.UNAVAILABLE] + DEADLINE):.0f} of them" in prose()


def per_hour(kind: Kind) -> float:
    return HOUR / (PAUSES[kind] + ANSWER)


def test_a_thousand_pods_make_the_calls_of_a_thousand() -> None:
    steady, spread = 1 / (MEAN_DUE * HOUR), DUE_SPREAD * HOUR
    denied, unavailable = per_hour(Kind.DENIED) / HOUR, per_hour(Kind.UNAVAILABLE) / HOUR
    hop_1_denied = float(table("When STS fails")["hop 2 is denied"][2]) / HOUR
    for (hop_1_rate, hop_2_rate), cells in zip(
        (
            (hop_1() / HOUR, steady),
            (1 / (10 * MINUTE), 1 / (10 * MINUTE)),
            (1 / MINUTE, 1 / MINUTE),
            (0.0, 1 / spread),
            (hop_1_denied, denied),
            (0.0, unavailable),
        ),
        table("A thousand pods").values(),
        strict=True,
    ):
        assert numbers(cells[:2]) == pytest.approx([1000 * hop_1_rate, 1000 * hop_2_rate], rel=0.03)
        assert cells[2] == f"{1000 * hop_2_rate / QUOTA:.1%}".replace("%", " %")
        assert numbers(cells[3:]) == pytest.approx([QUOTA / hop_2_rate], rel=0.01)


def test_pods_that_start_in_one_second_have_credentials_as_soon_as_the_page_says() -> None:
    checked = 0
    for count, *cells in rows(PAGE, "More than the quota"):
        served, calls = rush(chained(), int(count.replace(",", "")), Bucket(QUOTA))
        assert numbers(cells) == pytest.approx([median(served), served[-1], calls], rel=0.02, abs=0.5), count
        checked += 1
    assert checked > 3


def test_after_a_common_start_a_fleet_is_refreshed_when_the_page_says() -> None:
    lived = fleet(chained(), 1000, 0.6)
    again = sorted(call.at / MINUTE for pod in lived for call in pod.calls if call.at > MINUTE)
    assert [round(again[0]), round(again[-1])] == [24, 30]
    assert "24 to 30 minutes later, spread over six minutes" in prose()
    mean = f"{MEAN_DUE * HOUR / MINUTE:.0f} minutes of an hour"
    assert (
        f"after {DUE_AT - DUE_SPREAD:.0%} to {DUE_AT:.0%} of its life, on the average {mean}".replace("%", " %")
        in prose()
    )
