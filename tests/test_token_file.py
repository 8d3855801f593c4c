"""The projected token on a real disk: links swapped, modes closed, halves written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.errors import TokenError, TokenTrouble
from sidecar.token_file import Reading, read
from sidecar.tokens import LONGEST
from tests.builders import write_token
from tests.users import unprivileged

FIX = "set securityContext.fsGroup on the pod to a group of the sidecar, or run it as the owner"


def error_of(reading: Reading) -> TokenError:
    assert reading.error is not None
    return reading.error


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A token path whose directories every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "token"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


def test_a_token_is_read(path: Path) -> None:
    text = write_token(path)
    reading = read(str(path), Reading())
    assert reading.error is None
    assert reading.token is not None
    assert reading.token.value.reveal() == text


def test_an_unchanged_file_is_no_news(path: Path) -> None:
    write_token(path)
    first = read(str(path), Reading())
    path.touch()
    assert read(str(path), first) is first
    assert first.is_news_after(Reading())


def test_a_swap_of_the_data_link_is_a_rotation(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / f"..2026_{number}"
        folder.mkdir()
        write_token(folder / "token", sub=f"subject-{number}")
    (tmp_path / "..data").symlink_to("..2026_1")
    path = tmp_path / "token"
    path.symlink_to("..data/token")
    first = read(str(path), Reading())
    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    second = read(str(path), first)
    assert second.is_news_after(first)
    assert [reading.token.claims.subject for reading in (first, second) if reading.token] == ["subject-1", "subject-2"]


def test_a_missing_file_says_to_project_it_here(path: Path) -> None:
    error = error_of(read(str(path), Reading()))
    assert error.reason is TokenTrouble.MISSING
    assert "without subPath" in error.detail


def test_a_path_through_a_file_is_missing(path: Path) -> None:
    write_token(path)
    assert error_of(read(str(path / "token"), Reading())).reason is TokenTrouble.MISSING


def test_a_directory_in_its_place_is_unreadable(tmp_path: Path) -> None:
    error = error_of(read(str(tmp_path), Reading()))
    assert (error.reason, error.detail) == (TokenTrouble.UNREADABLE, "it is a directory; name the token's file in it")


def test_a_closed_file_names_uid_gid_mode_owner_and_the_fix(open_path: Path) -> None:
    write_token(open_path)
    open_path.chmod(0o040)
    with unprivileged():
        error = error_of(read(str(open_path), Reading()))
        who = f"uid {os.geteuid()}, gid {os.getegid()}"
    assert error.reason is TokenTrouble.UNREADABLE
    owner = f"{os.getuid()}:{open_path.stat().st_gid}"
    assert error.detail == f"{who} may not read it: mode 0040, owner {owner}; {FIX}"


def test_a_closed_directory_above_the_file_is_named_as_such(open_path: Path) -> None:
    write_token(open_path)
    open_path.parent.chmod(0o000)
    with unprivileged():
        error = error_of(read(str(open_path), Reading()))
    open_path.parent.chmod(0o700)
    assert error.reason is TokenTrouble.UNREADABLE
    assert "a directory above it is closed" in error.detail


def test_a_file_that_all_may_read_is_read_by_another_user(open_path: Path) -> None:
    write_token(open_path)
    open_path.chmod(0o644)
    with unprivileged():
        assert read(str(open_path), Reading()).error is None


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "the file is empty"),
        (b"no token", "not a JSON Web Token"),
        (b"eyJhbGciOiJSUzI1NiJ9.eyJpc3Mi", "not a JSON Web Token"),
        ("päivää".encode(), "not ASCII text"),
        (b"\0\xff" * 8, "not ASCII text"),
        (b"x" * (LONGEST + 1), f"STS takes at most {LONGEST}"),
        (b"x" * LONGEST * 10, f"STS takes at most {LONGEST}"),
    ],
)
def test_a_file_that_holds_no_token_is_malformed(path: Path, content: bytes, detail: str) -> None:
    path.write_bytes(content)
    error = error_of(read(str(path), Reading()))
    assert error.reason is TokenTrouble.MALFORMED
    assert detail in error.detail


@pytest.mark.parametrize("damage", ["half", "empty", "gone"])
def test_what_becomes_of_the_file_leaves_the_last_good_token(path: Path, damage: str) -> None:
    text = write_token(path)
    good = read(str(path), Reading())
    path.write_text({"half": text[: len(text) // 2]}.get(damage, ""))
    if damage == "gone":
        path.unlink()
    bad = read(str(path), good)
    assert bad.token == good.token
    assert bad.is_news_after(good)
    again = read(str(path), bad)
    assert again.token == good.token
    assert not again.is_news_after(bad)


def test_a_file_that_recovers_is_news_even_with_the_same_token(path: Path) -> None:
    text = write_token(path)
    good = read(str(path), Reading())
    path.unlink()
    missing = read(str(path), good)
    path.write_text(text)
    recovered = read(str(path), missing)
    assert recovered == good
    assert recovered.is_news_after(missing)


def test_another_way_of_being_wrong_is_news(path: Path) -> None:
    missing = read(str(path), Reading())
    path.write_text("")
    assert read(str(path), missing).is_news_after(missing)


def test_an_error_that_is_kept_holds_no_traceback(path: Path) -> None:
    assert error_of(read(str(path), Reading())).__traceback__ is None


def test_a_pipe_in_its_place_is_said_at_once(path: Path) -> None:
    os.mkfifo(path)  # which nobody writes into: to open it would wait for ever
    error = error_of(read(str(path), Reading()))
    assert (error.reason, error.detail) == (TokenTrouble.UNREADABLE, "it is no regular file")
