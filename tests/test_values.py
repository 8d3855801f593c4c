"""Resolution: flag, own name, AWS's name, default; and what is no setting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import Problem
from sidecar.model import Secret
from sidecar.values import Setting, Values, unknown

NAME = Setting(name="SIDECAR_NAME", aws="AWS_A", default="d")
KEY = Setting(name="SIDECAR_KEY", parse=Secret, has_flag=False, is_secret=True)
TABLE = (NAME, KEY)
TEXTS = st.none() | st.sampled_from(["", " ", "one", "two ", "three"])


def values(environ: dict[str, str], flags: dict[str, str] | None = None) -> Values:
    return Values(TABLE, flags or {}, environ)


def problems(environ: dict[str, str], table: tuple[Setting, ...] = TABLE) -> list[Problem]:
    """Those of the names that are given, and then of what they say."""
    found = Values(table, {}, environ)
    for setting in table:
        found[setting.name]
    return [*unknown(environ, found.origins), *found.problems]


@given(TEXTS, TEXTS, TEXTS)
def test_the_strongest_source_that_says_something_wins(flag: str | None, own: str | None, aws: str | None) -> None:
    flags = {} if flag is None else {"SIDECAR_NAME": flag}
    given_by = {"SIDECAR_NAME": own, "AWS_A": aws}
    environ = {name: text for name, text in given_by.items() if text is not None}
    strongest = next((text.strip() for text in (flag, own, aws) if text and text.strip()), "d")
    assert values(environ, flags)["SIDECAR_NAME"] == strongest


@pytest.mark.parametrize(
    ("environ", "flags", "where"),
    [
        ({"SIDECAR_NAME": "x", "AWS_A": "y"}, {"SIDECAR_NAME": "z"}, "flag --name"),
        ({"SIDECAR_NAME": "x", "AWS_A": "y"}, {}, "environment"),
        ({"AWS_A": "y"}, {}, "environment, AWS_A"),
        ({}, {}, "default"),
    ],
)
def test_the_origin_says_where_a_value_is_from(environ: dict[str, str], flags: dict[str, str], where: str) -> None:
    assert values(environ, flags).origins["SIDECAR_NAME"].source == where


def test_a_setting_without_a_value_is_from_nowhere() -> None:
    origin = values({}).origins["SIDECAR_KEY"]
    assert (origin.text, origin.source, origin.by) == (None, "nowhere", "")


def test_a_secret_has_no_flag_and_is_not_shown() -> None:
    origin = values({"SIDECAR_KEY": "hunter2"}).origins["SIDECAR_KEY"]
    assert KEY.flag == ""
    found = values({})
    found.refuse(origin, "too short", "Use 16.")
    assert [problem.value for problem in found.problems] == [None]
    assert "hunter2" not in f"{origin} {[*found.problems]}"


def test_an_unknown_name_is_a_problem_with_the_nearest_known_one() -> None:
    (problem,) = problems({"SIDECAR_NAMES": "hunter2"})
    assert (problem.setting, problem.value) == ("SIDECAR_NAMES", None)
    assert problem.remedy == "Did you mean SIDECAR_NAME?"


def test_an_unknown_name_that_is_near_to_none_points_to_the_help() -> None:
    (problem,) = problems({"SIDECAR_XYZZY_PLUGH": "1"})
    assert "--help" in problem.remedy


@pytest.mark.parametrize(
    "name",
    [
        "SIDECAR_SERVICE_HOST",
        "SIDECAR_SERVICE_PORT",
        "SIDECAR_SERVICE_PORT_HTTP",
        "SIDECAR_PORT",
        "SIDECAR_PORT_80_TCP",
        "SIDECAR_PORT_80_TCP_ADDR",
        "SIDECAR_PORT_53_UDP_PROTO",
        "SIDECAR_INJECTOR_SERVICE_HOST",
        "SIDECAR_INJECTOR_PORT_443_TCP_PORT",
    ],
)
def test_service_links_of_a_service_named_sidecar_are_let_through(name: str) -> None:
    assert not problems({name: "tcp://10.0.0.1:80"})


def test_a_service_link_under_a_known_name_is_called_so() -> None:
    (problem,) = problems({"SIDECAR_NAME": "tcp://10.0.0.1:80"})
    assert "kubelet injected this for a Service" in problem.wrong
    assert "enableServiceLinks: false" in problem.remedy


def test_names_of_others_are_none_of_ours() -> None:
    assert not problems({"AWS_NONSENSE": "1", "MY_SIDECAR_NAME": "1", "sidecar_name": "1"})


def test_several_problems_are_found_at_once() -> None:
    environ = {"SIDECAR_NAME": "tcp://1", "SIDECAR_KEI": "1", "SIDECAR_NAMEN": "1"}
    assert [problem.setting for problem in problems(environ)] == ["SIDECAR_KEI", "SIDECAR_NAMEN", "SIDECAR_NAME"]


def test_the_nearest_name_may_be_an_aws_name() -> None:
    region = Setting(name="AWS_REGION")
    (problem,) = problems({"SIDECAR_REGION": "eu-west-1"}, (NAME, region))
    assert problem.remedy == "Did you mean AWS_REGION?"
