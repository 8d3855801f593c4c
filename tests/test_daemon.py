"""The daemon put together: what opens, what is asked of it while it lives, what ends it and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar import daemon, process
from sidecar.emulator import World, allow, guide_world
from sidecar.errors import ConfigError
from sidecar.events import HandlerFailed, HopSucceeded, Listening, Started, StateRestored, TokenRead
from sidecar.http import SPARE
from sidecar.ledger import Ledger
from tests.builders import ROLE_A, ROLE_B
from tests.harness import Life, in_virtual_time
from tests.process import sidecar


def demanding(**condition: object) -> Callable[[str], World]:
    """The guide's world, whose role B asks for more: a condition on its trust."""

    def universe(issuer: str) -> World:
        world = guide_world(issuer)
        role_a, role_b = world.role(ROLE_A), world.role(ROLE_B)
        assert role_a is not None
        assert role_b is not None
        may = [allow(f"sts:{action}", Resource=ROLE_B) for action in ("AssumeRole", "TagSession", "SetSourceIdentity")]
        trusts = [
            {"Effect": "Allow", "Principal": {"AWS": ROLE_A}, "Action": f"sts:{action}"}
            for action in ("TagSession", "SetSourceIdentity")
        ]
        wanted = {
            "Effect": "Allow",
            "Principal": {"AWS": ROLE_A},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": condition},
        }
        trust = {"Version": "2012-10-17", "Statement": [*trusts, wanted]}
        world = world.with_role(replace(role_a, permissions=tuple(may)))
        return world.with_role(replace(role_b, trust=trust))

    return universe


@in_virtual_time
async def test_external_id_tags_source_identity_and_session_policy_reach_sts(tmp_path: Path) -> None:
    wanted = {
        "sts:ExternalId": "ticket-42",
        "sts:SourceIdentity": "orders",
        "aws:RequestTag/team": "shop",
        "aws:RequestTag/tier": "gold",
    }
    settings = {
        "SIDECAR_EXTERNAL_ID": "ticket-42",
        "SIDECAR_SOURCE_IDENTITY": "orders",
        "SIDECAR_SESSION_TAGS": "team=shop,tier=gold",
        "SIDECAR_POLICY": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
    }
    async with Life(tmp_path, settings, universe=demanding(**wanted)) as life:
        await life.until(lambda: life.is_served)
        second = life.sts.calls[1]
        assert (second.external_id, second.source_identity) == ("ticket-42", "orders")
        assert (life.happened(HopSucceeded)[1].packed or 0) > 0


@in_virtual_time
async def test_listeners_open_before_the_first_walk(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        await life.until(lambda: life.is_served)
        kinds = [type(event) for event in life.events]
    assert kinds[:4] == [Started, Listening, Listening, TokenRead]


@in_virtual_time
async def test_held_sessions_outlive_the_daemon_and_keep_their_due(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    settings = {"SIDECAR_STATE_DIR": str(tmp_path / "state")}
    async with Life(tmp_path, settings) as life:
        await life.until(lambda: life.is_served)
        due = life.schedule().due
        again = daemon.Daemon(life.config, life.outside, life.daemon.refresher._assume, life.events.append)
        assert again.refresher.ledger.of(life.config.target().hop).schedule.due == due
        assert life.happened(StateRestored) == [StateRestored(hops=2, written=2)]


@in_virtual_time
async def test_what_the_loop_and_the_servers_catch_is_reported_by_type_and_place(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        server = life.daemon._server([*life.daemon._faces()][-1])
        try:
            raise ValueError("a secret")
        except ValueError as error:
            life.daemon.bugs.caught(asyncio.get_running_loop(), {"exception": error})
            server.failed(error)
    failed = life.happened(HandlerFailed)
    assert [each.face for each in failed] == ["event loop", "status"]
    for each in failed:
        assert each.error == "ValueError"
        assert each.where.partition(":")[0] == __file__
        assert "secret" not in repr(each)


@in_virtual_time
async def test_d20_the_files_are_enough_for_every_connection_to_every_face(tmp_path: Path) -> None:
    async with Life(tmp_path, {"SIDECAR_IMDS_LISTEN": "127.0.0.1:0"}) as life:
        faces = [*life.daemon._faces()]
        assert [face.name for face in faces] == ["credentials", "imds", "status"]
        # A few dozen more for STS, the log and Python itself.
        assert sum(face.connections + SPARE for face in faces) + 100 < process.OPEN_FILES


@in_virtual_time
async def test_the_same_failure_is_told_once_in_a_second(tmp_path: Path) -> None:
    async with Life(tmp_path) as life:
        for _ in range(3):
            for _ in range(1_000):
                life.daemon.bugs.caught(asyncio.get_running_loop(), {"exception": OSError(24, "Too many open files")})
            await life.passes(1.0)
        assert len(life.happened(HandlerFailed)) == 3


@in_virtual_time
async def test_a_second_sidecar_that_finds_the_port_taken_leaves_the_state_alone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    async with Life(tmp_path, {"SIDECAR_STATE_DIR": str(tmp_path / "state")}) as life:
        await life.until(lambda: life.is_served)
        kept = tmp_path / "state" / "credential-sidecar" / "sessions.json"
        before = kept.read_bytes()
        shorter = replace(life.config.target(), hop=replace(life.config.target().hop, duration=1800))
        listen = replace(life.config.listen, port=life.port("credentials"))
        taken = replace(life.config, listen=listen, targets=(shorter,))
        second = daemon.Daemon(taken, life.outside, life.daemon.refresher._assume, life.events.append)
        with pytest.raises(ConfigError, match="address already in use"):
            await second.serve(life.stop)
        assert kept.read_bytes() == before


@pytest.mark.parametrize(("hard", "soft"), [(8192, process.OPEN_FILES), (512, 512), (256, 256)])
async def test_d20_there_are_files_for_every_connection_as_far_as_the_host_allows(
    tmp_path: Path, hard: int, soft: int
) -> None:
    settings = {
        "AWS_REGION": "eu-central-1",
        "AWS_ROLE_ARN": ROLE_A,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "SIDECAR_TARGET_ROLE_ARN": ROLE_B,
        "SIDECAR_LISTEN": "127.0.0.1:0",
        "SIDECAR_STATUS_LISTEN": "127.0.0.1:0",
        "SIDECAR_AUTHORIZATION": "none",
    }
    script = f'ulimit -Sn 256 && ulimit -Hn {hard} && exec "$@"'
    async with sidecar(settings, "sh", "-c", script, "sh") as running:
        limits = Path(f"/proc/{running.process.pid}/limits").read_text()
    (row,) = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
    assert row[3:5] == [str(soft), str(hard)]


@in_virtual_time
async def test_a_bug_in_the_refresher_ends_the_daemon_with_it(tmp_path: Path) -> None:
    life = Life(tmp_path)
    async with life:
        await life.until(lambda: life.is_served)
        life.daemon.refresher.ledger = Ledger(held={life.config.target().hop: None})  # type: ignore[dict-item]
        await asyncio.wait({life.serving})
        with pytest.raises(AttributeError):
            await life.serving
