"""The table itself: its names, flags and parsers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sidecar import settings
from sidecar.model import Secret
from sidecar.rules import PARAMETERS, Illegal
from sidecar.settings import SETTINGS, Address
from sidecar.values import Setting


def setting(name: str) -> Setting:
    (found,) = [each for each in SETTINGS if each.name == name]
    return found


def parser(name: str) -> Callable[[str], object]:
    """What turns the text of the setting `name` into its value."""
    return setting(name).parse


def test_every_setting_stands_once_in_the_table() -> None:
    names = [name for setting in SETTINGS for name in (setting.name, setting.aws) if name]
    flags = [setting.flag for setting in SETTINGS if setting.flag]
    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)


def test_every_form_is_of_a_setting_and_every_field_of_a_hop_has_one() -> None:
    assert settings.FORMS.keys() <= {setting.name for setting in SETTINGS}
    assert {setting.hop for setting in SETTINGS} - {""} == PARAMETERS.keys() - {"transitive_tags"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_a_legal_value(setting: Setting) -> None:
    assert not setting.default or setting.parse(setting.default) is not None


def test_a_flag_is_the_name_in_kebab_case() -> None:
    assert setting("AWS_ROLE_ARN").flag == "--role-arn"
    assert setting("SIDECAR_TARGET_ROLE_ARN").flag == "--target-role-arn"
    assert setting("SIDECAR_STATUS_LISTEN").flag == "--status-listen"


def test_what_argv_would_make_public_has_no_flag() -> None:
    assert setting("SIDECAR_AUTHORIZATION_TOKEN").flag == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9911", Address(host="127.0.0.1", port=9911)),
        ("127.8.8.8:0", Address(host="127.8.8.8", port=0)),
        ("[::1]:9911", Address(host="::1", port=9911)),
    ],
)
def test_a_loopback_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parser("SIDECAR_LISTEN")(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["*:9912", "0.0.0.0:9912", "[::]:9912", "10.1.2.3:1", "127.0.0.1:65535"])
def test_the_status_listener_may_listen_anywhere(text: str) -> None:
    assert str(parser("SIDECAR_STATUS_LISTEN")(text)) == text


@pytest.mark.parametrize("text", ["0.0.0.0:9911", "*:9911", "[::]:9911", "10.0.0.1:9911", "169.254.170.2:80"])
def test_the_credential_endpoint_listens_on_loopback_alone(text: str) -> None:
    with pytest.raises(Illegal) as caught:
        parser("SIDECAR_LISTEN")(text)
    assert "loopback only" in caught.value.wrong
    assert "127.0.0.1" in caught.value.remedy


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parser("SIDECAR_LISTEN"), "localhost:9911", "not a literal IP address and a port"),
        (parser("SIDECAR_LISTEN"), "9911", "not a literal IP address and a port"),
        (parser("SIDECAR_LISTEN"), "127.0.0.1:http", "not a literal IP address and a port"),
        (parser("SIDECAR_STATUS_LISTEN"), "*:65536", "a port from 0 to 65535"),
        (parser("SIDECAR_STATUS_LISTEN"), "*:", "not a literal IP address and a port"),
        (parser("SIDECAR_PROFILES"), "a/b", "'a/b' cannot name a target"),
        (parser("SIDECAR_PROFILES"), "..", "'..' cannot name a target"),
        (parser("SIDECAR_PROFILES"), "x" * 65, "cannot name a target"),
        (parser("SIDECAR_PROFILES"), "my profile", "'my profile' cannot name a target"),
        (parser("SIDECAR_PROFILES"), "a,b,a", "the profile 'a' is given twice"),
        (parser("SIDECAR_PROFILES"), "a,,b", "'' cannot name a target"),
        (parser("SIDECAR_TARGET_ROLE_ARN"), "Direct", "not the ARN of an IAM role"),
        (parser("SIDECAR_AUTHORIZATION"), "off", "no such choice"),
        (parser("SIDECAR_DRAIN"), "-1", "0 to 86400"),
        (parser("SIDECAR_DRAIN"), "nan", "0 to 86400"),
        (parser("SIDECAR_DRAIN"), "1e3", "0 to 86400"),
        (parser("SIDECAR_DRAIN"), "86401", "0 to 86400"),
        (parser("SIDECAR_LOG_LEVEL"), "verbose", "no such choice"),
        (parser("SIDECAR_LOG_FORMAT"), "yaml", "no such choice"),
    ],
)
def test_what_cannot_be_is_refused(parse: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(Illegal) as caught:
        parse(text)
    assert words in caught.value.wrong
    assert caught.value.remedy


def test_a_choice_that_is_none_lists_the_choices() -> None:
    with pytest.raises(Illegal) as caught:
        parser("SIDECAR_LOG_LEVEL")("verbose")
    assert caught.value.remedy == "Write debug, info, warning or error."


@pytest.mark.parametrize("text", ["short", "x" * 15, "with space in it ok", "semi;colon-semi;colon", "ä" * 20])
def test_an_authorization_token_that_fits_no_header_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(Illegal) as caught:
        parser("SIDECAR_AUTHORIZATION_TOKEN")(text)
    assert text not in f"{caught.value} {caught.value.wrong} {caught.value.remedy}"
    assert "at least 16" in caught.value.remedy


def test_a_good_authorization_token_is_a_secret() -> None:
    assert parser("SIDECAR_AUTHORIZATION_TOKEN")("A-good_token.0~x") == Secret("A-good_token.0~x")


def test_profiles_are_named_in_order() -> None:
    assert parser("SIDECAR_PROFILES")("b, a ,c.d_e-f") == ("b", "a", "c.d_e-f")


@pytest.mark.parametrize("text", ["https://sts.test", "http://127.0.0.1:4566", "http://[::1]:65535/sts"])
def test_the_url_of_an_endpoint(text: str) -> None:
    assert parser("AWS_ENDPOINT_URL_STS")(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("sts.test", "ftp://sts.test", "http://sts.test:65536", "http://a:0", "http://[::"),
        *("http://my_sts:4566", "http://a..b", "http://-a", "http://a-.test", f"http://{'a' * 64}"),
    ],
)
def test_what_is_none_and_nobody_could_connect_to(text: str) -> None:
    with pytest.raises(Illegal, match="not the URL of an endpoint"):
        parser("AWS_ENDPOINT_URL_STS")(text)
