"""Whose token it is: what the token says, what flags say instead, and what is said where neither does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.errors import ConfigError, TokenError
from sidecar.iam.bearer import Said, read
from tests.builders import AUDIENCE, ISSUER, SUBJECT, write_token

WHOLE = {
    "issuer": "https://oidc.example.com/id/1",
    "audience": "sts.amazonaws.com",
    "subject": "system:serviceaccount:a:b",
}


def test_the_token_says_it(tmp_path: Path) -> None:
    write_token(tmp_path / "token")
    bearer = read(str(tmp_path / "token"), Said())
    assert (bearer.issuer, bearer.audiences, bearer.subject) == (ISSUER, (AUDIENCE,), SUBJECT)
    assert bearer.bare == ISSUER.removeprefix("https://")


@pytest.mark.parametrize("name", WHOLE)
def test_a_flag_outranks_its_claim(name: str, tmp_path: Path) -> None:
    write_token(tmp_path / "token")
    bearer = read(str(tmp_path / "token"), Said.parse({name: WHOLE[name]}))
    said = {"issuer": bearer.issuer, "audience": bearer.audiences[0], "subject": bearer.subject}
    assert said == {"issuer": ISSUER, "audience": AUDIENCE, "subject": SUBJECT, name: WHOLE[name]}


def test_where_everything_is_said_no_token_is_looked_at() -> None:
    bearer = read("/nowhere", Said.parse(WHOLE))
    assert (bearer.issuer, bearer.audiences, bearer.subject) == (
        WHOLE["issuer"],
        (WHOLE["audience"],),
        WHOLE["subject"],
    )


def test_without_a_token_the_error_names_the_flags_that_are_still_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        TokenError, match=r"is missing: no such file.*; where there is no token, give --issuer, --subject$"
    ):
        read(str(tmp_path / "token"), Said.parse({"audience": "sts.amazonaws.com"}))


def test_what_is_no_token_is_said_with_the_same_remedy(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("garbage")
    with pytest.raises(
        TokenError, match=r"is malformed: .*; where there is no token, give --issuer, --audience, --subject$"
    ):
        read(str(tmp_path / "token"), Said())


def test_a_token_without_an_audience_wants_the_flag(tmp_path: Path) -> None:
    write_token(tmp_path / "token", aud=None)
    with pytest.raises(TokenError, match="it has no audience; give --audience"):
        read(str(tmp_path / "token"), Said())
    assert read(str(tmp_path / "token"), Said.parse({"audience": "x"})).audiences == ("x",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "oidc.example.com/id/1"),
        ("issuer", "http://oidc.example.com"),
        ("issuer", "https://oidc.example.com:8443"),
        ("issuer", "https://oidc.example.com/?x=1"),
        ("issuer", "https://oidc.example.com/#x"),
        ("issuer", ""),
        ("audience", "sts.amazonaws.com,vault"),
        ("audience", "x" * 256),
        ("subject", "system:serviceaccount:shop:*"),
        ("subject", "${aws:username}"),
        ("subject", "orders"),
        ("subject", "shop:orders"),
        ("subject", "system:serviceaccount:shop/orders"),
        ("subject", ""),
    ],
)
def test_what_iam_would_not_take_literally_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Said.parse({name: value})
    (problem,) = refused.value.problems
    assert (problem.setting, problem.value, problem.source) == (f"--{name}", value, f"flag --{name}")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        Said.parse({"issuer": "x", "audience": " ", "subject": "*"})
    assert [problem.setting for problem in refused.value.problems] == ["--issuer", "--audience", "--subject"]
