"""Errors hold facts, and build a sentence of them that somebody can act on."""

from __future__ import annotations

import pytest

from sidecar.errors import (
    ConfigError,
    HopDenied,
    HopError,
    HopUnavailable,
    Problem,
    SidecarError,
    SourceGone,
    TokenError,
    TokenTrouble,
    WalkError,
)

PROBLEM = Problem(
    setting="SIDECAR_DURATION", value="899", source="environment", wrong="below 900", remedy="Say 900 or more."
)


def test_a_problem_names_setting_value_source_and_remedy() -> None:
    assert str(PROBLEM) == "SIDECAR_DURATION='899' (from environment): below 900. Say 900 or more."


def test_a_problem_of_a_secret_setting_shows_no_value() -> None:
    secret = Problem(setting="S", value=None, source="environment", wrong="too short", remedy="Use 16.")
    assert str(secret) == "S (from environment): too short. Use 16."


def test_a_configuration_error_tells_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigError([PROBLEM, PROBLEM])
    assert error.problems == (PROBLEM, PROBLEM)
    assert str(error).splitlines() == [str(PROBLEM)] * 2


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (TokenTrouble.MISSING, "TokenMissing"),
        (TokenTrouble.UNREADABLE, "TokenUnreadable"),
        (TokenTrouble.MALFORMED, "TokenMalformed"),
        (TokenTrouble.EXPIRED, "TokenExpired"),
    ],
)
def test_a_token_error_has_a_code_and_says_path_and_reason(reason: TokenTrouble, code: str) -> None:
    error = TokenError(reason, "/a/token", "look here")
    assert error.code == code
    assert str(error) == f"projected token /a/token is {reason.value}: look here"


def test_a_hop_error_says_its_code_and_nothing_of_what_aws_wrote() -> None:
    assert str(HopDenied("AccessDenied", request_id="4d1c")) == "AccessDenied"
    assert str(HopUnavailable("Timeout")) == "Timeout"


def test_a_hop_error_keeps_request_id_and_the_time_that_sts_told() -> None:
    error = HopDenied("AccessDenied", request_id="r-1", date=12.0)
    assert (error.request_id, error.date) == ("r-1", 12.0)


def test_a_walk_that_failed_names_hop_role_code_and_hint() -> None:
    error = WalkError(2, "arn:of:b", "AccessDenied", "see the trust policy")
    assert str(error) == "hop 2 to arn:of:b failed: AccessDenied: see the trust policy"
    assert (error.position, error.role, error.code, error.hint) == (
        2,
        "arn:of:b",
        "AccessDenied",
        "see the trust policy",
    )


def test_everything_that_can_go_wrong_has_one_root() -> None:
    assert SourceGone.__mro__[1:4] == (HopUnavailable, HopError, SidecarError)
    for kind in (ConfigError, TokenError, HopDenied, WalkError):
        assert issubclass(kind, SidecarError)
