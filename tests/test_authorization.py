from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar import authorization
from sidecar.authorization import provide
from sidecar.errors import ConfigError, Problem
from sidecar.model import Secret

# What `secrets.token_urlsafe(32)` looks like: 256 bits.
RANDOM = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"
GIVEN = Secret("a-given.token_of~more-than-16")


def never() -> str:
    raise AssertionError("a random token was drawn")


def provided(directory: Path, *targets: str, given: Secret | None = None, draw: Callable[[], str] = lambda: RANDOM):  # type: ignore[no-untyped-def]
    return provide(str(directory), targets or ("default",), random_token=draw, source="the default", given=given)


def refused(directory: Path, *targets: str, given: Secret | None = None) -> Problem:
    """The one problem that providing raises."""
    with pytest.raises(ConfigError) as caught:
        provided(directory, *targets, given=given)
    (problem,) = caught.value.problems
    assert problem.setting == "SIDECAR_AUTHORIZATION_DIR"
    assert problem.remedy
    assert RANDOM not in str(problem)
    return problem


def test_r8_a_token_is_written_without_a_newline_for_everyone_to_read(tmp_path: Path) -> None:
    tokens = provided(tmp_path)
    path = tmp_path / "default" / "token"
    assert path.read_bytes() == RANDOM.encode()
    assert tokens == {"default": Secret(RANDOM)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert os.listdir(path.parent) == ["token"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        provided(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "default" / "token").stat().st_mode) == 0o444


def test_r8_every_uid_may_look_into_the_directory_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        provided(tmp_path / "volume")
    finally:
        os.umask(before)
    for folder in (tmp_path / "volume", tmp_path / "volume" / "default"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_r8_a_well_formed_token_is_reused_and_its_file_left_alone(tmp_path: Path) -> None:
    provided(tmp_path)
    before = (tmp_path / "default" / "token").stat()
    assert provided(tmp_path, draw=never) == {"default": Secret(RANDOM)}
    after = (tmp_path / "default" / "token").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_every_target_has_a_token_of_its_own(tmp_path: Path) -> None:
    drawn = iter([RANDOM, RANDOM[::-1]])
    tokens = provided(tmp_path, "one", "two", draw=lambda: next(drawn))
    assert tokens == {"one": Secret(RANDOM), "two": Secret(RANDOM[::-1])}
    assert (tmp_path / "two" / "token").read_text() == RANDOM[::-1]


def test_a_given_token_is_the_first_targets_alone(tmp_path: Path) -> None:
    tokens = provided(tmp_path, "one", "two", given=GIVEN)
    assert tokens == {"one": GIVEN, "two": Secret(RANDOM)}


def test_a_given_token_that_is_there_already_is_fine(tmp_path: Path) -> None:
    provided(tmp_path, given=GIVEN)
    assert provided(tmp_path, given=GIVEN, draw=never) == {"default": GIVEN}


def test_r8_a_given_token_does_not_replace_another_that_clients_may_have_read(tmp_path: Path) -> None:
    provided(tmp_path)
    assert "another value" in refused(tmp_path, given=GIVEN).wrong
    assert (tmp_path / "default" / "token").read_text() == RANDOM


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        RANDOM.encode() + b"\n",
        b" " + RANDOM.encode(),
        b"with space in the token",
        b"\xff" * 32,
        b"x" * 5000,
    ],
    ids=["empty", "short", "newline", "leading space", "spaces", "binary", "huge"],
)
def test_what_is_there_and_is_no_token_is_an_error_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "default" / "token"
    path.parent.mkdir()
    path.write_bytes(content)
    assert "not an authorization token" in refused(tmp_path).wrong
    assert path.read_bytes() == content


def test_a_link_in_place_of_the_token_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(RANDOM[::-1])
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "token").symlink_to(elsewhere)
    assert "symbolic link" in refused(tmp_path).wrong
    assert elsewhere.read_text() == RANDOM[::-1]


def test_a_dangling_link_is_no_way_to_choose_where_the_token_goes(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "token").symlink_to(tmp_path / "chosen")
    refused(tmp_path)
    assert not (tmp_path / "chosen").exists()


def test_a_link_in_place_of_the_targets_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "default").symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refused(tmp_path).wrong
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_in_place_of_the_temporary_file_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / ".token.new").symlink_to(tmp_path / "chosen")
    provided(tmp_path)
    assert not (tmp_path / "chosen").exists()
    assert not (tmp_path / "default" / "token").is_symlink()


def test_d30_what_a_killed_predecessor_left_is_never_taken_for_the_token(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / ".token.new").write_text(RANDOM[:20])
    assert provided(tmp_path) == {"default": Secret(RANDOM)}
    assert os.listdir(tmp_path / "default") == ["token"]


def test_a_pipe_in_place_of_the_token_does_not_hold_up_the_start(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    os.mkfifo(tmp_path / "default" / "token")
    assert "not a regular file" in refused(tmp_path).wrong


def test_a_directory_in_place_of_the_token_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "default" / "token").mkdir(parents=True)
    assert "not a regular file" in refused(tmp_path).wrong


def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("")
    assert "no directory" in refused(tmp_path).wrong


@pytest.mark.skipif(os.geteuid() != 0, reason="wants root, to become a uid that may not write: run as root")
def test_a_directory_that_may_not_be_written_is_an_error_with_the_setting_and_the_fix(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(0o755)
    os.seteuid(59911)
    try:
        problem = refused(tmp_path)
    finally:
        os.seteuid(0)
    assert "permission denied" in problem.wrong
    assert "emptyDir" in problem.remedy
    assert "59911" in problem.remedy


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    provided(tmp_path / "not" / "there")
    assert (tmp_path / "not" / "there" / "default" / "token").read_text() == RANDOM


def test_a_directory_that_cannot_be_made_is_an_error_with_the_setting_and_the_fix() -> None:
    problem = refused(Path("/proc/self/nowhere"))
    assert problem.value == "/proc/self/nowhere/default/token"
    assert "SIDECAR_AUTHORIZATION=none" in problem.remedy


def test_every_random_token_that_is_drawn_would_be_reused() -> None:
    assert authorization.TOKEN.fullmatch(RANDOM)
