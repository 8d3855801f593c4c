"""The webhook's certificate: `tls.crt` and `tls.key` of a directory, polled, since a mounted Secret is swapped by link.

A new pair is rehearsed before it is used, by a handshake in memory with a client that trusts this certificate alone: so
it works, and it is known until when. Handshakes that begin from then on are made with it. A pair that cannot be used is
told of, and the one before stays; one that was read while it was being replaced is another one at the next look.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sidecar.errors import ConfigError
from sidecar.events import Event, Observe, Throttle
from sidecar.formats import utc_of

# Seconds between two looks. kubelet takes up to a minute more until it projects a Secret that was replaced.
POLL = 2.0
# Seconds between two reports that a client does not trust the certificate: an API server tries for every pod.
TOLD = 60.0
CERTIFICATE, KEY = "tls.crt", "tls.key"
# A chain of four certificates has 8 KiB.
_LONGEST = 65_536
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: also of a certificate that has expired it is to be known when.
_AT_ANY_TIME = 0x200000
_REMEDY = f"Mount a Secret of type kubernetes.io/tls there: {CERTIFICATE} is the chain, leaf first, {KEY} its key."
_ADVICE = "does the webhook configuration's caBundle hold its issuer, and does it name the Service?"
# A client's alerts about the certificate, as OpenSSL names them.
_DISTRUST = {
    "SSLV3_ALERT_BAD_CERTIFICATE": "bad certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "certificate expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "certificate unknown",
    "TLSV1_ALERT_DECRYPT_ERROR": "wrong signature",  # the issuer's name with another key
    "TLSV1_ALERT_UNKNOWN_CA": "unknown CA",
}


class CertificateLoaded(Event, says="certificate {serial} for {names}, until {expiration}"):
    """A certificate is in use that was not before."""

    folder: str
    serial: str
    names: tuple[str, ...]
    expiration: str


class CertificateFailed(Event, level="error", says="the new certificate in {folder} is not used: {reason}"):
    """What is in the directory now cannot be used; the certificate before stays in use."""

    folder: str
    reason: str


class CertificateExpired(Event, level="error", says="the certificate in {folder} expired at {expiration}"):
    """The certificate in use has expired: no API server takes it any more."""

    folder: str
    expiration: str


class CertificateDistrusted(Event, level="warning", says="a client refuses the certificate: {alert}; " + _ADVICE):
    """A client ended a handshake by an alert about the certificate."""

    alert: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """What the two files hold, or why they cannot be read."""

    certificate: bytes = b""
    key: bytes = b""
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """A pair that works; `expiration` is Unix seconds."""

    pair: _Pair
    context: ssl.SSLContext
    expiration: float
    serial: str
    names: tuple[str, ...]


class _Unusable(Exception):
    """Why a pair does not work."""


class Certificates:
    """What handshakes are made with, from `folder`; `clock` gives the sidecar's own seconds, `wall` Unix seconds.

    Raises ConfigError, naming the `source` of the directory, where nothing in it works.
    """

    def __init__(
        self, folder: str, source: str, *, clock: Callable[[], float], wall: Callable[[], float], observe: Observe
    ) -> None:
        self._folder, self._wall, self._observe = folder, wall, observe
        self._doubted = self._refused = _Pair()
        self._expired = 0.0  # the expiration that was told of
        self._distrusted = Throttle(observe, clock, TOLD)
        try:
            self._use(_loaded(_read(folder)))
        except _Unusable as error:
            raise ConfigError.of("--tls-dir", folder, source, str(error), _REMEDY) from None

    @property
    def expiration(self) -> float:
        """When the certificate in use expires, in Unix seconds."""
        return self._used.expiration

    @property
    def is_alive(self) -> bool:
        """Whether it has not yet expired."""
        return self._wall() < self._used.expiration

    def context(self) -> ssl.SSLContext:
        """What the next handshake is made with."""
        return self._used.context

    def failed(self, reason: str) -> None:
        """Tells of a client that does not trust the certificate; what else ends a handshake is the client's affair."""
        if alert := _DISTRUST.get(reason):
            self._distrusted(CertificateDistrusted(alert=alert))

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL)

    def look(self) -> None:
        """Uses what is new and works, and says once of what does not, or does no more."""
        found = _read(self._folder)
        if found == self._used.pair:
            self._doubted = self._refused = _Pair()
        elif found != self._refused:
            try:
                new = _loaded(found)
                if new.expiration <= self._wall() < self.expiration:
                    raise _Unusable(f"it expired at {utc_of(new.expiration)}")
                self._use(new)
            except _Unusable as error:
                self._doubt(found, str(error))
        if not self.is_alive and self._expired != self.expiration:
            self._expired = self.expiration
            self._observe(CertificateExpired(folder=self._folder, expiration=utc_of(self.expiration)))

    def _use(self, used: _Used) -> None:
        self._used, self._refused = used, _Pair()
        expiration = utc_of(used.expiration)
        event = CertificateLoaded(folder=self._folder, serial=used.serial, names=used.names, expiration=expiration)
        self._observe(event)

    def _doubt(self, found: _Pair, reason: str) -> None:
        """Refuses a pair that was there at the look before, too."""
        if found == self._doubted:
            self._refused = found
            self._observe(CertificateFailed(folder=self._folder, reason=reason))
        self._doubted = found


def _read(folder: str) -> _Pair:
    texts = []
    for name in (CERTIFICATE, KEY):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                texts.append(file.read(_LONGEST))
        except PermissionError:
            fix = "give the Secret's volume a defaultMode of 0444, or the pod an fsGroup"
            return _Pair(unread=f"uid {os.geteuid()} may not read {name}; {fix}")
        except OSError as error:
            return _Pair(unread=f"{name}: {os.strerror(error.errno or 0).lower()}")
    return _Pair(certificate=texts[0], key=texts[1])


def _loaded(pair: _Pair) -> _Used:
    """The pair, proven to work; raises _Unusable."""
    for is_wrong, reason in (
        (bool(pair.unread), pair.unread),
        (b"-----BEGIN CERTIFICATE-----" not in pair.certificate, f"{CERTIFICATE} is no certificate in PEM"),
        (b"PRIVATE KEY-----" not in pair.key, f"{KEY} is no private key in PEM"),
        (b"ENCRYPTED" in pair.key, f"{KEY} is encrypted, and nothing knows its password"),
    ):
        if is_wrong:
            raise _Unusable(reason)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        with _in_memory(pair.key + b"\n" + pair.certificate) as path:
            context.load_cert_chain(path, password="")
            said = _rehearsed(context, path)
    except ssl.SSLCertVerificationError as error:
        raise _Unusable(f"no client takes it: {error.verify_message}") from None
    except ssl.SSLError as error:
        is_other = error.reason == "KEY_VALUES_MISMATCH"
        reason = (
            f"{KEY} is not the key of {CERTIFICATE}"
            if is_other
            else f"OpenSSL cannot use it: {error.reason or 'one of the two is damaged'}"
        )
        raise _Unusable(reason) from None
    names = tuple(name for _, name in said.get("subjectAltName", ()))
    expiration = ssl.cert_time_to_seconds(said["notAfter"])
    return _Used(pair=pair, context=context, expiration=expiration, serial=said["serialNumber"], names=names)


@contextmanager
def _in_memory(text: bytes) -> Iterator[str]:
    """A path to `text` that is on no disk: OpenSSL takes keys from files alone, and what was read is what is loaded."""
    number = os.memfd_create("certificate")
    try:
        os.write(number, text)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def _rehearsed(server: ssl.SSLContext, path: str) -> dict[str, Any]:
    """What a client that trusts the certificates at `path` learns of `server` in a handshake."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(path)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _AT_ANY_TIME
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, answering = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for side in (asking, answering) * 3:  # TLS 1.2 needs two flights of each
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return asking.getpeercert() or {}
