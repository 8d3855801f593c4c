from __future__ import annotations

import asyncio
import configparser
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.credentials_file import CredentialsFile, Place
from sidecar.daemon import Daemon
from sidecar.errors import ConfigError
from sidecar.events import CredentialsFileFailed, CredentialsFileWritten, Event
from sidecar.ledger import Ledger
from sidecar.model import Kind
from sidecar.schedule import FLOOR
from tests.builders import HOUR, failure, held, session, targets
from tests.harness import Life, in_virtual_time
from tests.test_endpoint import Clock
from tests.users import unprivileged
from tests.wire import until

FIRST, SECOND = targets(2)
WALKED = held(*FIRST.hop.chain, SECOND.hop)
SELF = (-1, -1)


class Room:
    """A file face, its clock, and what it told."""

    def __init__(self, path: Path, *, mode: int = 0o600, owner: tuple[int, int] = SELF) -> None:
        self.path, self.clock, self.events = path, Clock(), list[Event]()
        place = Place(path=str(path), mode=mode, owner=owner, source="environment")
        self.face = CredentialsFile(place, [FIRST, SECOND], self.clock, self.events.append)
        self.face.tick = 0.01

    async def looked(self, times: int) -> None:
        """Until it has looked so many times more."""
        looks = self.clock.looks + times
        await until(lambda: self.clock.looks >= looks)

    def sections(self) -> dict[str, dict[str, str]]:
        parser = configparser.RawConfigParser()
        parser.read(self.path)
        return {name: dict(parser[name]) for name in parser.sections()}


def test_r29_a_section_for_each_target_has_both_names_of_the_session_token(tmp_path: Path) -> None:
    room = Room(tmp_path / "aws" / "credentials")
    room.face.begin(WALKED)
    found = room.sections()
    assert list(found) == [FIRST.name, SECOND.name]
    assert found[FIRST.name] == {
        "aws_access_key_id": "ASIAEXAMPLE000000002",
        "aws_secret_access_key": "secret/access+key/0000000000000000000002",
        "aws_session_token": "session-token-2==",
        "aws_security_token": "session-token-2==",
        "expiration": "2033-05-18T03:33:20Z",
    }


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_r29_the_mode_is_what_was_asked_for_whatever_the_umask(mode: int, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Room(tmp_path / "credentials", mode=mode).face.begin(WALKED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == mode


def test_r29_it_is_given_to_its_owner_before_it_is_seen(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away: run the tests as root")
    room = Room(tmp_path / "credentials", owner=(1234, 5678))
    room.face.begin(WALKED)
    seen = room.path.stat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (1234, 5678, 0o600)


def test_an_owner_that_cannot_be_made_is_an_error_that_says_what_can(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(0o755)
    with unprivileged(), pytest.raises(ConfigError, match=r"fsGroup.*SIDECAR_CREDENTIALS_FILE_OWNER"):
        Room(tmp_path / "credentials", owner=(0, 0)).face.begin(WALKED)


async def test_d30_r29_a_reader_sees_the_old_file_or_the_new_one_whole(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    with room.path.open() as reader:
        first = reader.read(40)
        room.face.publish(WALKED.succeeded(FIRST.hop, session(FIRST.hop, 9), lifetime=HOUR, now=0.0, chance=0.0))
        running = asyncio.create_task(room.face.run())
        await until(lambda: "ASIAEXAMPLE000000009" in room.path.read_text())
        assert (first + reader.read()).count("ASIAEXAMPLE000000002") == 1
    running.cancel()
    assert [path.name for path in tmp_path.iterdir()] == ["credentials"]


async def test_r29_a_target_that_cannot_be_served_loses_its_section_at_the_floor(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    running = asyncio.create_task(room.face.run())
    room.clock.now = HOUR - FLOOR - 0.001
    await room.looked(3)
    assert list(room.sections()) == [FIRST.name, SECOND.name]
    room.clock.now = HOUR - FLOOR
    await until(lambda: not room.sections())
    running.cancel()


async def test_r29_a_failed_refresh_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    before = room.path.stat()
    running = asyncio.create_task(room.face.run())
    room.face.publish(WALKED.failed(FIRST.hop, failure(Kind.DENIED), now=1_900.0, chance=0.0))
    await room.looked(3)
    running.cancel()
    assert room.path.stat().st_ino == before.st_ino


async def test_a_write_that_fails_is_told_once_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "aws"
    room = Room(folder / "credentials")
    room.face.begin(WALKED)
    folder.rename(tmp_path / "elsewhere")
    room.face.publish(held(*FIRST.hop.chain))
    running = asyncio.create_task(room.face.run())
    await room.looked(5)
    assert room.events == [CredentialsFileFailed(path=str(room.path), reason="no such file or directory")]
    (tmp_path / "elsewhere").rename(folder)
    await until(lambda: len(room.events) == 2)
    running.cancel()
    assert room.events[1] == CredentialsFileWritten(path=str(room.path))
    assert list(room.sections()) == [FIRST.name]


async def test_a_file_that_was_removed_comes_back(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    running = asyncio.create_task(room.face.run())
    room.path.unlink()
    await until(room.path.exists)
    running.cancel()
    assert list(room.sections()) == [FIRST.name, SECOND.name]


async def test_what_somebody_else_puts_in_its_place_is_told_and_stays(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    (tmp_path / "theirs").write_text("[default]\n")
    (tmp_path / "theirs").rename(room.path)
    running = asyncio.create_task(room.face.run())
    await until(lambda: bool(room.events))
    running.cancel()
    reason = "there is a file that the sidecar did not write"
    assert room.events == [CredentialsFileFailed(path=str(room.path), reason=reason)]
    assert room.path.read_text() == "[default]\n"


def test_a_file_that_was_given_away_is_kept_up_to_date_though_it_cannot_be_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away: run the tests as root")
    room = Room(tmp_path / "credentials", owner=(1234, 5678))
    room.face.begin(WALKED)
    room.face.publish(held(*FIRST.hop.chain))
    assert list(room.sections()) == [FIRST.name]
    assert room.path.stat().st_uid == 1234


def test_a_directory_below_a_volume_with_a_group_keeps_the_group(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives directories away: run the tests as root")
    os.chown(tmp_path, 0, 4242)
    tmp_path.chmod(0o2777)
    room = Room(tmp_path / "aws" / "credentials", mode=0o640)
    room.face.begin(WALKED)
    assert (room.path.stat().st_gid, stat.S_IMODE(room.path.parent.stat().st_mode)) == (4242, 0o2755)


@pytest.mark.parametrize("text", ["[default]\naws_access_key_id = AKIA\n", "x"])
def test_a_file_of_somebody_else_is_an_error_and_stays(text: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(ConfigError, match="did not write") as error:
        Room(path).face.begin(WALKED)
    assert path.read_text() == text
    assert "AKIA" not in str(error.value)


def test_what_a_former_sidecar_wrote_is_replaced_by_what_is_held_now(tmp_path: Path) -> None:
    room = Room(tmp_path / "credentials")
    room.face.begin(WALKED)
    again = Room(tmp_path / "credentials")
    again.face.begin(Ledger())
    assert again.sections() == {}


def test_a_directory_that_may_not_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    if os.geteuid() != 0:
        pytest.skip("this user owns the directory: run the tests as root")
    with unprivileged(), pytest.raises(ConfigError, match=r"SIDECAR_CREDENTIALS_FILE=.*permission denied.*emptyDir"):
        Room(tmp_path / "credentials").face.begin(WALKED)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "credentials").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError):
        Room(tmp_path / "credentials").face.begin(WALKED)
    assert (tmp_path / "precious").read_text() == "precious"


@in_virtual_time
async def test_a_second_sidecar_that_finds_the_port_taken_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file" / "credentials"
    async with Life(tmp_path, {"SIDECAR_CREDENTIALS_FILE": str(path)}) as life:
        await life.until(lambda: life.is_served)
        before = path.read_text()
        taken = replace(life.config, listen=replace(life.config.listen, port=life.port("credentials")))
        second = Daemon(taken, life.outside, life.daemon.refresher._assume, life.events.append)
        with pytest.raises(ConfigError, match="address already in use"):
            await second.serve(life.stop)
        assert path.read_text() == before
        assert "aws_access_key_id" in before


@in_virtual_time
async def test_a_life_keeps_the_file_the_mirror_of_the_endpoint(tmp_path: Path) -> None:
    path = tmp_path / "file" / "credentials"
    async with Life(tmp_path, {"SIDECAR_CREDENTIALS_FILE": str(path)}) as life:
        seen = set()
        for _ in range(120):
            await life.passes(60)
            document = (await life.request()).document
            text = path.read_text()
            assert document["AccessKeyId"] in text
            assert text.count("aws_access_key_id") == 1
            seen.add(document["AccessKeyId"])
        assert len(seen) >= 4
