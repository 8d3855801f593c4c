"""The ledger as bytes and back: what lives comes back whole, everything else is refused in our own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.archive import digest, dump, load
from sidecar.ledger import Ledger
from sidecar.model import Kind
from tests.builders import HOUR, chain, failure, held, hop, session, target

TARGET = target()
WALKED = held(*TARGET.hop.chain)
BOOT = "boot-1"


def loaded(data: bytes, now: float = 0.0) -> Ledger:
    return load(data, [TARGET], BOOT, now)[0]


def changed(path: list[str], value: object) -> bytes:
    """The bytes of the walked ledger with one thing in them changed."""
    document: Any = json.loads(dump(WALKED, BOOT))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(document).encode()


@given(
    length=st.integers(1, 3),
    lifetime=st.floats(60, 12 * HOUR),
    now=st.floats(0, 1e8),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_held_sessions_come_back_with_the_due_they_had(length: int, lifetime: float, now: float, chance: float) -> None:
    walked = chain(length)
    before = held(*walked.chain, now=now, lifetime=lifetime, chance=chance)
    after, written = load(dump(before, BOOT), [target(last=walked)], BOOT, now)
    assert dict(after.held) == dict(before.held)
    assert written == length


def test_a_spent_source_comes_back_spent() -> None:
    old = WALKED.failed(TARGET.hop, failure(Kind.DENIED), now=100.0, chance=0.0)
    source = TARGET.hop.chain[0]
    assert loaded(dump(old, BOOT)).of(source) == old.of(source)


def test_failures_are_not_kept() -> None:
    failed = WALKED.failed(TARGET.hop, failure(Kind.DENIED), now=1.0, chance=0.0)
    assert loaded(dump(failed, BOOT), now=2.0).of(TARGET.hop).schedule.streak is None


def test_a_hop_that_never_had_a_session_is_not_written() -> None:
    failed = Ledger().failed(hop(), failure(), now=0.0, chance=0.0)
    assert load(dump(failed, BOOT), [TARGET], BOOT, 0.0) == (Ledger(), 0)


def test_sessions_below_the_floor_are_left_behind() -> None:
    assert len(loaded(dump(WALKED, BOOT), now=HOUR - 31).held) == 2
    assert load(dump(WALKED, BOOT), [TARGET], BOOT, HOUR - 30) == (Ledger(), 2)


def test_d9_a_changed_configuration_finds_nothing() -> None:
    other = target(last=chain(2, external_id="changed"))
    ledger, written = load(dump(WALKED, BOOT), [other], BOOT, 0.0)
    assert list(ledger.held) == [other.hop.chain[0]]
    assert written == 2


@pytest.mark.parametrize(
    "change",
    [
        {"duration": 900},
        {"session_name": "n"},
        {"external_id": "e"},
        {"source_identity": "s"},
        {"tags": (("k", "v"),)},
        {"transitive_tags": ("k",)},
        {"policy": "{}"},
        {"policy_arns": ("p",)},
        {"regions": ("us-east-1",)},
        {"token_file": "/other"},
    ],
)
def test_d9_a_digest_differs_with_everything_that_shapes_a_session(change: dict[str, Any]) -> None:
    assert digest(hop()) == digest(hop())
    assert digest(hop(**change)) != digest(hop())


def test_an_external_id_does_not_stand_in_the_bytes() -> None:
    walked = chain(2, external_id="the-external-id")
    assert b"the-external-id" not in dump(held(*walked.chain), BOOT)


def test_another_boot_is_refused() -> None:
    with pytest.raises(ValueError, match="before the node's last boot"):
        load(dump(WALKED, "boot-0"), [TARGET], BOOT, 0.0)


def test_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="another form"):
        loaded(changed(["form"], 2))


_ENTRY = ["hops", digest(TARGET.hop)]
_SECRET = session().credentials.secret_access_key.reveal()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe\xfd",
        b"[]",
        b"5",
        b"[" * 100_000,
        changed(["hops"], None),
        changed(["hops"], 5),
        changed(["hops"], "text"),
        changed(_ENTRY, None),
        changed(_ENTRY, {}),
        changed([*_ENTRY, "due"], _SECRET),
        changed([*_ENTRY, "due"], 10**400),
        changed([*_ENTRY, "Expiration"], _SECRET),
        changed([*_ENTRY, "Expiration"], "2033-05-18T03:33:20"),
        changed([*_ENTRY, "Expiration"], 5),
        changed([*_ENTRY, "arn"], _SECRET),
        dump(WALKED, BOOT)[:-1],
    ],
)
def test_what_is_no_state_of_ours_is_refused_without_a_word_of_what_it_holds(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a state of ours \(\w+\)$"):
        loaded(data)


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 60))
def test_a_state_with_any_bytes_changed_is_loaded_or_refused(new: bytes, at: int, length: int) -> None:
    data = dump(WALKED, BOOT)
    try:
        ledger = loaded(data[:at] + new + data[at + length :])
    except ValueError:
        return
    assert set(ledger.held) <= set(TARGET.hop.chain)
