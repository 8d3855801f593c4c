"""Issued sessions are kept within bounds of number and age."""

from __future__ import annotations

from sidecar.emulator.sessions import MAX_SESSIONS, RETENTION, Keys, RoleSession, Vault
from sidecar.emulator.world import RoleArn

ROLE = RoleArn(partition="aws", account="111122223333", path="", name="r")


def session(number: int, expiration: float) -> RoleSession:
    return RoleSession(
        role=ROLE,
        role_id="AROA",
        name="s",
        hop=1,
        expiration=expiration,
        access_key_id=f"ASIA{number}",
        secret_access_key=f"secret-{number}",
        session_token=f"token-{number}",
    )


def test_the_vault_never_holds_more_than_its_bound_and_drops_the_oldest() -> None:
    vault = Vault()
    for number in range(MAX_SESSIONS + 10):
        vault.keep(session(number, 3600.0), 0.0)
    assert len(vault) == MAX_SESSIONS
    assert vault.find("ASIA9") is None
    assert vault.find("ASIA10") is not None
    assert len(vault.secrets()) == 2 * MAX_SESSIONS


def test_expired_sessions_are_remembered_for_a_day() -> None:
    vault = Vault()
    vault.keep(session(1, 3600.0), 0.0)
    vault.keep(session(2, 3600.0 + RETENTION), 3600.0 + RETENTION)
    assert vault.find("ASIA1") is not None
    vault.keep(session(3, 7200.0 + RETENTION), 3601.0 + RETENTION)
    assert vault.find("ASIA1") is None
    assert vault.find("ASIA2") is not None


def test_a_session_that_was_issued_long_expired_is_kept_by_nobody() -> None:
    vault = Vault()
    vault.keep(session(1, 0.0), RETENTION + 1)
    assert len(vault) == 0


def test_keys_are_as_chance_has_them() -> None:
    keys = Keys.draw(lambda count: b"\0" * count)
    assert keys.access_key_id == "ASIA" + "A" * 16
    assert (len(keys.secret_access_key), len(keys.session_token)) == (40, 720)
