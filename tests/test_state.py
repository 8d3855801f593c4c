"""The state directory on a real disk: it is ours alone, it is whole, or it is ignored with a line."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.archive import dump
from sidecar.events import Event, StateIgnored, StateRestored
from sidecar.ledger import Ledger
from sidecar.state import State
from tests.builders import HOUR, held, target

TARGET = target()
WALKED = held(*TARGET.hop.chain)
NOT_OURS = "the directory is not the sidecar's alone: it must be its own, with mode 0700"


class Keeper:
    """A state in `directory`, and what it reported."""

    def __init__(self, directory: Path, boot: str = "boot-1") -> None:
        self.events: list[Event] = []
        self.state = State(str(directory), boot=boot, observe=self.events.append)

    def restored(self, now: float = 0.0) -> Ledger:
        return self.state.restore([TARGET], now)

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, StateIgnored)]


def kept(directory: Path, ledger: Ledger = WALKED) -> Path:
    """The file that holds `ledger` after a life that kept it."""
    keeper = Keeper(directory)
    keeper.state.keep(ledger)
    assert keeper.events == []
    return directory / "credential-sidecar" / "sessions.json"


def test_what_was_kept_is_restored_after_a_restart(tmp_path: Path) -> None:
    kept(tmp_path)
    after = Keeper(tmp_path)
    assert after.restored() == WALKED
    assert after.events == [StateRestored(hops=2, written=2)]


def test_a_first_start_restores_nothing_and_says_nothing(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    assert keeper.restored() == Ledger()
    assert keeper.events == []


def test_directory_and_file_are_for_the_sidecar_alone_whatever_the_volume_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = kept(tmp_path)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (file.parent, file)] == [0o700, 0o600]


def test_a_setgid_bit_inherited_from_the_volume_is_no_trouble(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    kept(tmp_path)
    assert Keeper(tmp_path).restored() == WALKED


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_directory_that_others_may_enter_is_ignored(tmp_path: Path, mode: int) -> None:
    file = kept(tmp_path)
    before = file.read_bytes()
    file.parent.chmod(mode)
    keeper = Keeper(tmp_path)
    assert keeper.restored() == Ledger()
    keeper.state.keep(held(TARGET.hop))
    assert keeper.reasons == [NOT_OURS]
    assert file.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away: run the tests as root")
def test_a_directory_of_another_owner_is_ignored(tmp_path: Path) -> None:
    os.chown(kept(tmp_path).parent, 59911, 59911)
    keeper = Keeper(tmp_path)
    assert keeper.restored() == Ledger()
    assert keeper.reasons == [NOT_OURS]


def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    volume, elsewhere = tmp_path / "volume", tmp_path / "elsewhere"
    volume.mkdir()
    elsewhere.mkdir(0o700)
    (volume / "credential-sidecar").symlink_to(elsewhere)
    keeper = Keeper(volume)
    keeper.state.keep(WALKED)
    assert len(keeper.reasons) == 1
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_place_of_the_file_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    file, victim = kept(tmp_path), tmp_path / "victim"
    victim.write_bytes(b"not ours")
    file.unlink()
    file.symlink_to(victim)
    kept(tmp_path, held(TARGET.hop))
    assert not file.is_symlink()
    assert victim.read_bytes() == b"not ours"


def test_a_link_in_place_of_the_file_restores_nothing(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    keeper = Keeper(tmp_path)
    assert keeper.restored() == Ledger()
    assert len(keeper.reasons) == 1


def test_a_link_left_as_the_temporary_is_not_written_through(tmp_path: Path) -> None:
    file, victim = kept(tmp_path), tmp_path / "victim"
    victim.write_bytes(b"not ours")
    file.with_name(".sessions.json.new").symlink_to(victim)
    kept(tmp_path, held(TARGET.hop))
    assert victim.read_bytes() == b"not ours"
    assert not file.is_symlink()


@pytest.mark.parametrize("left", [0, 1, 100, -20])
def test_a_corrupt_file_is_ignored_with_a_line_and_replaced(tmp_path: Path, left: int) -> None:
    file = kept(tmp_path)
    file.write_bytes(file.read_bytes()[:left])
    keeper = Keeper(tmp_path)
    assert keeper.restored() == Ledger()
    assert len(keeper.reasons) == 1
    assert keeper.reasons[0].startswith("not a state of ours")
    keeper.state.keep(WALKED)
    assert Keeper(tmp_path).restored() == WALKED


def test_another_boot_is_ignored(tmp_path: Path) -> None:
    kept(tmp_path)
    keeper = Keeper(tmp_path, boot="boot-2")
    assert keeper.restored() == Ledger()
    assert keeper.reasons == ["written before the node's last boot"]


def test_sessions_that_ended_meanwhile_are_not_restored(tmp_path: Path) -> None:
    kept(tmp_path)
    keeper = Keeper(tmp_path)
    assert keeper.restored(now=float(HOUR)) == Ledger()
    assert keeper.events == [StateRestored(hops=0, written=2)]


def test_a_missing_volume_is_reported_once_and_ends_nothing(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "nowhere")
    assert keeper.restored() == Ledger()
    keeper.state.keep(WALKED)
    keeper.state.keep(held(TARGET.hop))
    assert keeper.reasons == ["No such file or directory"]


def test_trouble_that_went_and_came_back_is_reported_again(tmp_path: Path) -> None:
    file = kept(tmp_path)
    keeper = Keeper(tmp_path)
    for mode in (0o777, 0o700, 0o777):
        file.parent.chmod(mode)
        keeper.state.keep(held(TARGET.hop, now=float(mode)))
    assert keeper.reasons == [NOT_OURS, NOT_OURS]


def test_what_is_unchanged_is_not_written_again(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.state.keep(WALKED)
    file = tmp_path / "credential-sidecar" / "sessions.json"
    first = file.stat().st_ino
    keeper.state.keep(WALKED)
    assert file.stat().st_ino == first


def test_d30_a_write_replaces_the_file_by_rename(tmp_path: Path) -> None:
    file = kept(tmp_path)
    with file.open("rb") as opened:
        kept(tmp_path, held(TARGET.hop))
        assert opened.read() == dump(WALKED, "boot-1")
    assert list(file.parent.iterdir()) == [file]


def test_d30_a_half_written_temporary_of_a_killed_life_harms_nothing(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.with_name(".sessions.json.new").write_bytes(b'{"form": 1, "bo')
    assert Keeper(tmp_path).restored() == WALKED
    kept(tmp_path, held(TARGET.hop))
    assert Keeper(tmp_path).restored() == held(TARGET.hop)


# Keeps a second ledger and is killed at the moment of the rename, the temporary on disk.
_KILLED = """
import os, signal, sys
os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from sidecar.state import State
from tests.builders import held, target
State(sys.argv[1], boot="boot-1", observe=print).keep(held(target().hop))
"""


def test_d30_a_life_killed_between_write_and_rename_leaves_the_state_before(tmp_path: Path) -> None:
    file = kept(tmp_path)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], timeout=30, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.with_name(".sessions.json.new").exists()
    assert Keeper(tmp_path).restored() == WALKED
