"""Certificates as cert-manager issues them, and the directory in which kubelet projects them."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key as the two values of a Secret; its serial number in OpenSSL's way."""

    certificate: bytes
    key: bytes
    serial: str
    expiration: float


class Authority:
    """A CA that signs certificates of a Service, and of 127.0.0.1."""

    def __init__(self, name: str = "injector CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        root = self._builder(self._name, self._key.public_key(), DAY).add_extension(usage, critical=True)
        self._root = root.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def pair(self, life: timedelta = DAY, *, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH) -> Pair:
        """A fresh certificate that lives for so long from now on, or ended so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName("credential-sidecar-injector.credential-sidecar.svc")]
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
        signed = (
            self._builder(x509.Name([]), key.public_key(), life)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(
            certificate=signed.public_bytes(Encoding.PEM),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            serial=f"{signed.serial_number:X}".rjust(2, "0"),
            expiration=signed.not_valid_after_utc.timestamp(),
        )

    def client(self) -> ssl.SSLContext:
        """What an API server with this CA in its caBundle trusts."""
        return ssl.create_default_context(cadata=self._root)

    def write(self, path: Path) -> Path:
        """The CA's certificate, at `path`."""
        path.write_text(self._root)
        return path

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key)
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + life)
        )


class Mounted:
    """A Secret's volume: the files are links into a directory that is swapped whole."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.folder, self._count = folder, 0
        folder.mkdir()
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")
        self.put(pair)

    def put(self, pair: Pair) -> None:
        """Projects `pair`, as kubelet does: the old directory goes."""
        before = self.folder / f"..{self._count}"
        self._count += 1
        fresh = self.folder / f"..{self._count}"
        fresh.mkdir()
        (fresh / "tls.crt").write_bytes(pair.certificate)
        (fresh / "tls.key").write_bytes(pair.key)
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        os.replace(link, self.folder / "..data")
        if before.exists():
            for file in before.iterdir():
                file.unlink()
            before.rmdir()
