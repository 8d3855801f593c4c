"""The webhook's certificate on disk: found, replaced, refused, expired, distrusted."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from sidecar.errors import ConfigError
from sidecar.events import Event
from sidecar.kube.certificates import (
    TOLD,
    CertificateDistrusted,
    CertificateExpired,
    CertificateFailed,
    CertificateLoaded,
    Certificates,
)
from tests.authority import DAY, Authority, Mounted, Pair
from tests.process import ROOT
from tests.users import unprivileged

AUTHORITY = Authority()
GOOD, OTHER = AUTHORITY.pair(), AUTHORITY.pair()


@dataclass(kw_only=True)
class Room:
    """A mounted Secret and what became of it; the clocks are turned by hand."""

    mounted: Mounted
    events: list[Event] = field(default_factory=list)
    wall: float = GOOD.expiration - DAY.total_seconds()
    now: float = 0.0

    def open(self) -> Certificates:
        """What a webhook reads."""
        return Certificates(
            str(self.mounted.folder),
            "command line",
            clock=lambda: self.now,
            wall=lambda: self.wall,
            observe=self.events.append,
        )

    def said(self) -> list[str]:
        """The sentences of what happened since the last time."""
        said = [event.says.format_map(vars(event)) for event in self.events]
        self.events.clear()
        return said


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(mounted=Mounted(tmp_path / "tls", GOOD))


def shown(context: ssl.SSLContext) -> str:
    """The serial number that a client sees in a handshake."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = AUTHORITY.client().wrap_bio(
        back, there, server_hostname="credential-sidecar-injector.credential-sidecar.svc"
    )
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = client.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_a_certificate_is_used_and_told_with_what_is_in_it(room: Room) -> None:
    certificates = room.open()
    assert int(shown(certificates.context()), 16) == int(GOOD.serial, 16)
    assert (certificates.expiration, certificates.is_alive) == (GOOD.expiration, True)
    (loaded,) = room.events
    assert isinstance(loaded, CertificateLoaded)
    assert int(loaded.serial, 16) == int(GOOD.serial, 16)
    assert loaded.names == ("credential-sidecar-injector.credential-sidecar.svc", "127.0.0.1")
    assert loaded.expiration.endswith("Z")


LOAD = """
import sys
from sidecar.kube.certificates import Certificates
Certificates(sys.argv[1], "", clock=float, wall=float, observe=lambda event: print(type(event).__name__))
"""


def test_so_it_is_where_openssl_is_told_to_speak_tls_1_2_alone(room: Room, tmp_path: Path) -> None:
    sections = ("openssl_conf = a", "[a]", "ssl_conf = b", "[b]", "system_default = c", "[c]", "MaxProtocol = TLSv1.2")
    (tmp_path / "openssl.cnf").write_text("\n".join(sections))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(room.mounted.folder)],
        env={"OPENSSL_CONF": str(tmp_path / "openssl.cnf")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("CertificateLoaded\n", "")


def test_no_version_of_tls_below_1_2_is_spoken_and_nothing_is_negotiated_twice(room: Room) -> None:
    context = room.open().context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_what_replaces_it_is_used_from_the_next_look_on_and_told_once(room: Room) -> None:
    certificates = room.open()
    before = certificates.context()
    certificates.look()
    assert certificates.context() is before
    room.mounted.put(OTHER)
    certificates.look()
    certificates.look()
    assert int(shown(certificates.context()), 16) == int(OTHER.serial, 16)
    assert int(shown(before), 16) == int(GOOD.serial, 16)
    assert [type(event) for event in room.events] == [CertificateLoaded, CertificateLoaded]


def test_a_touched_file_is_no_news(room: Room) -> None:
    certificates = room.open()
    before = certificates.context()
    room.mounted.put(GOOD)
    certificates.look()
    assert certificates.context() is before
    assert len(room.events) == 1


def _openssl(*arguments: str, text: bytes) -> bytes:
    return subprocess.run(["openssl", *arguments], input=text, capture_output=True, check=True).stdout


UNUSABLE: dict[str, tuple[Callable[[], Pair], str]] = {
    "another's key": (lambda: replace(OTHER, key=GOOD.key), "tls.key is not the key of tls.crt"),
    "no certificate": (lambda: replace(OTHER, certificate=b""), "tls.crt is no certificate in PEM"),
    "no key": (lambda: replace(OTHER, key=b""), "tls.key is no private key in PEM"),
    "swapped": (lambda: replace(OTHER, certificate=OTHER.key, key=OTHER.certificate), "tls.crt is no certificate"),
    "DER": (lambda: replace(OTHER, certificate=b"\x30\x82\x01"), "tls.crt is no certificate in PEM"),
    "cut certificate": (lambda: replace(OTHER, certificate=OTHER.certificate[:-80]), "one of the two is damaged"),
    "cut key": (lambda: replace(OTHER, key=OTHER.key[:-60]), "one of the two is damaged"),
    "encrypted key": (
        lambda: replace(OTHER, key=_openssl("ec", "-aes128", "-passout", "pass:x", text=OTHER.key)),
        "tls.key is encrypted",
    ),
    "encrypted PKCS 8": (
        lambda: replace(OTHER, key=_openssl("pkcs8", "-topk8", "-passout", "pass:x", text=OTHER.key)),
        "tls.key is encrypted",
    ),
    "a client's": (lambda: AUTHORITY.pair(usage=ExtendedKeyUsageOID.CLIENT_AUTH), "unsuitable certificate purpose"),
}


@pytest.mark.parametrize(("made", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_leaves_the_one_before_and_is_told_once_when_it_stays(
    made: Callable[[], Pair], words: str, room: Room
) -> None:
    certificates = room.open()
    before = certificates.context()
    room.said()
    room.mounted.put(made())
    certificates.look()
    assert room.events == []  # it may be half of a replacement
    for _ in range(3):
        certificates.look()
    (failed,) = room.events
    assert isinstance(failed, CertificateFailed)
    assert words in failed.reason
    assert "PRIVATE" not in failed.reason
    assert certificates.context() is before
    room.mounted.put(OTHER)
    certificates.look()
    assert int(shown(certificates.context()), 16) == int(OTHER.serial, 16)


@pytest.mark.parametrize(("made", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_webhook_does_not_begin_with_what_cannot_be_used(
    made: Callable[[], Pair], words: str, tmp_path: Path
) -> None:
    room = Room(mounted=Mounted(tmp_path / "tls", made()))
    with pytest.raises(ConfigError, match=words) as caught:
        room.open()
    (problem,) = caught.value.problems
    assert (problem.setting, problem.value) == ("--tls-dir", str(room.mounted.folder))
    assert "kubernetes.io/tls" in problem.remedy


def test_a_pair_that_was_half_replaced_for_one_look_is_not_told(room: Room) -> None:
    certificates = room.open()
    room.said()
    for pair in (replace(OTHER, key=GOOD.key), OTHER):
        room.mounted.put(pair)
        certificates.look()
    assert [type(event) for event in room.events] == [CertificateLoaded]


def test_what_was_refused_is_told_again_when_it_comes_again(room: Room) -> None:
    certificates = room.open()
    for pair in (replace(OTHER, key=GOOD.key), GOOD, replace(OTHER, key=GOOD.key)):
        room.mounted.put(pair)
        for _ in range(3):
            certificates.look()
    assert [type(event) for event in room.events] == [CertificateLoaded, CertificateFailed, CertificateFailed]


def test_a_missing_file_names_itself(room: Room) -> None:
    certificates = room.open()
    (room.mounted.folder / "tls.key").unlink()
    for _ in range(3):
        certificates.look()
    assert [type(event) for event in room.events] == [CertificateLoaded, CertificateFailed]
    assert room.said()[-1].endswith("is not used: tls.key: no such file or directory")


def test_a_file_that_may_not_be_read_says_who_wanted_to_and_the_fix() -> None:
    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        room = Room(mounted=Mounted(Path(home, "tls"), GOOD))
        (room.mounted.folder / "tls.key").chmod(0)
        with unprivileged(), pytest.raises(ConfigError, match=r"uid \d+ may not read tls.key; .*defaultMode"):
            room.open()


def test_no_key_is_left_in_a_file_or_open(room: Room, tmp_path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    certificates = room.open()
    room.mounted.put(replace(OTHER, key=GOOD.key))
    certificates.look()
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"tls.crt", "tls.key"}


def test_one_that_has_expired_is_used_and_told_and_is_not_alive(tmp_path: Path) -> None:
    room = Room(mounted=Mounted(tmp_path / "tls", AUTHORITY.pair(-DAY)))
    certificates = room.open()
    certificates.look()
    certificates.look()
    assert not certificates.is_alive
    assert [type(event) for event in room.events] == [CertificateLoaded, CertificateExpired]


def test_one_that_has_expired_does_not_replace_one_that_has_not(room: Room) -> None:
    certificates = room.open()
    before = certificates.context()
    room.said()
    room.mounted.put(AUTHORITY.pair(-DAY))
    for _ in range(3):
        certificates.look()
    (said,) = room.said()
    assert "is not used: it expired at" in said
    assert (certificates.context() is before, certificates.is_alive) == (True, True)


def test_one_that_expires_is_told_once_and_its_successor_is_alive(room: Room) -> None:
    certificates, alive = room.open(), []
    for room.wall in (GOOD.expiration - 1, GOOD.expiration, GOOD.expiration + 1):
        certificates.look()
        alive.append(certificates.is_alive)
    room.mounted.put(AUTHORITY.pair(10 * DAY))
    certificates.look()
    assert [*alive, certificates.is_alive] == [True, False, False, True]
    assert [type(event) for event in room.events] == [CertificateLoaded, CertificateExpired, CertificateLoaded]


def test_a_client_that_does_not_trust_it_is_told_once_in_a_while(room: Room) -> None:
    certificates = room.open()
    room.said()
    for room.now in (0.0, 1.0, TOLD - 1, TOLD):
        certificates.failed("TLSV1_ALERT_UNKNOWN_CA")
        certificates.failed("HTTP_REQUEST")
    certificates.failed("SSLV3_ALERT_BAD_CERTIFICATE")
    assert [event.alert for event in room.events if isinstance(event, CertificateDistrusted)] == [
        "unknown CA",
        "unknown CA",
        "bad certificate",
    ]
    assert "caBundle" in room.said()[0]


@pytest.mark.parametrize("life", [timedelta(hours=1), 3650 * DAY])
def test_the_expiration_is_that_of_the_leaf_whatever_follows_it(life: timedelta, tmp_path: Path) -> None:
    leaf, other = AUTHORITY.pair(life), AUTHORITY.pair(2 * DAY)
    chain = replace(leaf, certificate=b"# a comment: \xc3\xa9\n" + leaf.certificate + other.certificate)
    room = Room(mounted=Mounted(tmp_path / "tls", chain))
    assert room.open().expiration == leaf.expiration
