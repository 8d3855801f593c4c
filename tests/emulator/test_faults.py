"""Faults by value: which calls they strike, and how often."""

from __future__ import annotations

import pytest

from sidecar.emulator import Fault


def test_no_fault_strikes_nothing() -> None:
    assert not Fault.none().meets("AssumeRole", "eu-west-1")


@pytest.mark.parametrize(
    ("action", "region", "struck"),
    [
        ("AssumeRole", "eu-west-1", True),
        ("GetCallerIdentity", "eu-west-1", False),
        ("AssumeRole", "us-east-1", False),
        ("AssumeRole", None, False),
    ],
)
def test_a_fault_strikes_the_calls_it_is_meant_for(action: str, region: str | None, struck: bool) -> None:
    assert Fault.hang().only(action="AssumeRole", region="eu-west-1").meets(action, region) is struck
    assert Fault.hang().meets(action, region)


def test_a_counted_fault_is_spent_call_by_call() -> None:
    fault = Fault.reset().only(calls=2)
    assert fault.spent().meets("AssumeRole", None)
    assert not fault.spent().spent().meets("AssumeRole", None)
    assert Fault.reset().spent() == Fault.reset()


def test_an_error_carries_awss_words_where_they_are_known() -> None:
    assert Fault.error("Throttling").message == "Rate exceeded"
    assert Fault.error("Throttling", message="slow down").message == "slow down"
