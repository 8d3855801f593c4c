"""Three thousand virtual days of trouble, in four shares that two cores can divide."""

from __future__ import annotations

import pytest

from tests.simulation import DAY, Fault, Life, main, simulate

DAYS_OF_A_SHARE = 750


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_invariant_holds_over_seven_hundred_fifty_days_a_fifth_of_them_faulty(seed: int) -> None:
    tally = simulate(DAYS_OF_A_SHARE, seed)
    print(tally)
    assert tally.seconds >= DAYS_OF_A_SHARE * DAY
    assert tally.faulty / tally.seconds >= 0.2
    assert {fault: tally.attempts[fault] for fault in Fault if tally.attempts[fault] <= 100} == {}
    assert tally.hidden > 100


def test_a_seed_tells_the_same_story_twice() -> None:
    assert Life(5).run(2.0) == Life(5).run(2.0)


def test_the_simulation_prints_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--days", "2", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "pod-days" in printed
    assert all(fault in printed for fault in Fault)
