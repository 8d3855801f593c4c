"""The table itself: its names, flags and parsers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sidecar import settings
from sidecar.model import Secret
from sidecar.rules import Illegal
from sidecar.settings import SETTINGS, Address
from sidecar.values import Setting


def test_every_setting_stands_once_in_the_table() -> None:
    made = [each for each in vars(settings).values() if isinstance(each, Setting)]
    assert [*SETTINGS] == made
    names = [name for setting in SETTINGS for name in (setting.row.name, setting.row.aws) if name]
    flags = [setting.flag for setting in SETTINGS if setting.flag]
    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_a_legal_value(setting: Setting[Any]) -> None:
    assert not setting.row.default or setting.parse(setting.row.default) is not None


def test_a_flag_is_the_name_in_kebab_case() -> None:
    assert settings.ROLE_ARN.flag == "--role-arn"
    assert settings.TARGET_ROLE_ARN.flag == "--target-role-arn"
    assert settings.STATUS_LISTEN.flag == "--status-listen"


def test_what_argv_would_make_public_has_no_flag() -> None:
    assert settings.AUTHORIZATION_TOKEN.flag == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9911", Address(host="127.0.0.1", port=9911)),
        ("127.8.8.8:0", Address(host="127.8.8.8", port=0)),
        ("[::1]:9911", Address(host="::1", port=9911)),
    ],
)
def test_a_loopback_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert settings.listen_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["*:9912", "0.0.0.0:9912", "[::]:9912", "10.1.2.3:1", "127.0.0.1:65535"])
def test_the_status_listener_may_listen_anywhere(text: str) -> None:
    assert str(settings.status_address(text)) == text


@pytest.mark.parametrize("text", ["0.0.0.0:9911", "*:9911", "[::]:9911", "10.0.0.1:9911", "169.254.170.2:80"])
def test_the_credential_endpoint_listens_on_loopback_alone(text: str) -> None:
    with pytest.raises(Illegal) as caught:
        settings.listen_address(text)
    assert "loopback only" in caught.value.wrong
    assert "127.0.0.1" in caught.value.remedy


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (settings.listen_address, "localhost:9911", "'localhost' is not a literal IP address"),
        (settings.listen_address, "9911", "not an address and a port"),
        (settings.listen_address, "127.0.0.1:http", "not an address and a port"),
        (settings.status_address, "*:65536", "not an address and a port"),
        (settings.status_address, "*:", "not an address and a port"),
        (settings.profile_names, "a/b", "'a/b' cannot name a target"),
        (settings.profile_names, "..", "'..' cannot name a target"),
        (settings.profile_names, "x" * 65, "cannot name a target"),
        (settings.profile_names, "my profile", "'my profile' cannot name a target"),
        (settings.profile_names, "a,b,a", "the profile 'a' is named twice"),
        (settings.profile_names, "a,,b", "an empty item"),
        (settings.target_role, "Direct", "not the ARN of an IAM role"),
        (settings.authorization, "off", "no such choice"),
        (settings.drain, "-1", "0 to 86400"),
        (settings.drain, "nan", "0 to 86400"),
        (settings.drain, "1e3", "0 to 86400"),
        (settings.drain, "86401", "0 to 86400"),
        (settings.LOG_LEVEL.parse, "verbose", "no such choice"),
        (settings.LOG_FORMAT.parse, "yaml", "no such choice"),
    ],
)
def test_what_cannot_be_is_refused(parse: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(Illegal) as caught:
        parse(text)
    assert words in caught.value.wrong
    assert caught.value.remedy


def test_a_choice_that_is_none_lists_the_choices() -> None:
    with pytest.raises(Illegal) as caught:
        settings.LOG_LEVEL.parse("verbose")
    assert caught.value.remedy == "Write debug, info, warning or error."


@pytest.mark.parametrize("text", ["short", "x" * 15, "with space in it ok", "semi;colon-semi;colon", "ä" * 20])
def test_an_authorization_token_that_fits_no_header_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(Illegal) as caught:
        settings.authorization_token(text)
    assert text not in f"{caught.value} {caught.value.wrong} {caught.value.remedy}"
    assert "at least 16" in caught.value.remedy


def test_a_good_authorization_token_is_a_secret() -> None:
    assert settings.authorization_token("A-good_token.0~x") == Secret("A-good_token.0~x")


def test_profiles_are_named_in_order() -> None:
    assert settings.profile_names("b, a ,c.d_e-f") == ("b", "a", "c.d_e-f")
