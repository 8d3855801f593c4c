"""The projected token on a real disk: links swapped, modes closed, halves written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.errors import TokenError, TokenTrouble
from sidecar.token_file import Reading, read
from sidecar.tokens import LONGEST
from tests.builders import write_token

FIX = "set securityContext.fsGroup on the pod to a group of the sidecar, or run it as the owner"
# Reads as uid and gid 59911, which own nothing here, and tells what was found.
_AS_ANOTHER = """
import json, os, sys
from sidecar.token_file import Reading, read
os.setgroups([]); os.setgid(59911); os.setuid(59911)
reading = read(sys.argv[1], Reading())
print(json.dumps([reading.error.reason, reading.error.detail] if reading.error else None))
"""


def error_of(reading: Reading) -> TokenError:
    assert reading.error is not None
    return reading.error


def as_another(path: Path) -> list[str] | None:
    """What another user finds at `path`."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user: run the tests as root to prove this one")
    done = subprocess.run(
        [sys.executable, "-c", _AS_ANOTHER, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    found: list[str] | None = json.loads(done.stdout)
    return found


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A token path whose directories every user may enter."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    return tmp_path / "token"


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
    assert [reading.token.subject for reading in (first, second) if reading.token] == [
        "subject-1",
        "subject-2",
    ]


def test_a_missing_file_says_to_project_it_here(path: Path) -> None:
    error = error_of(read(str(path), Reading()))
    assert error.reason is TokenTrouble.MISSING
    assert "without subPath" in error.detail


def test_a_path_through_a_file_is_missing(path: Path) -> None:
    write_token(path)
    assert error_of(read(str(path / "token"), Reading())).reason is TokenTrouble.MISSING


def test_a_directory_in_its_place_is_unreadable(tmp_path: Path) -> None:
    error = error_of(read(str(tmp_path), Reading()))
    assert (error.reason, error.detail) == (TokenTrouble.UNREADABLE, "Is a directory")


def test_a_closed_file_names_uid_gid_mode_owner_and_the_fix(open_path: Path) -> None:
    write_token(open_path)
    open_path.chmod(0o600)
    assert as_another(open_path) == [
        "unreadable",
        f"uid 59911, gid 59911 may not read it: mode 0600, owner 0:0; {FIX}",
    ]


def test_a_closed_directory_above_the_file_is_named_as_such(open_path: Path) -> None:
    write_token(open_path)
    open_path.parent.chmod(0o700)
    found = as_another(open_path)
    assert found is not None
    assert found[0] == "unreadable"
    assert "a directory above it is closed" in found[1]


def test_a_file_that_all_may_read_is_read_by_another_user(open_path: Path) -> None:
    write_token(open_path)
    open_path.chmod(0o644)
    assert as_another(open_path) is None


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
