"""The self-signed certificate of a server that was given none. Made with `cryptography`, which only
this module imports, and only when a certificate must be looked at or made.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rmail_kernel import runfiles

LIFE = timedelta(days=397)  # what clients accept at most (CA/Browser Forum, 6.3.2)
RENEW_BEFORE = timedelta(days=30)
FILE = "self-signed.pem"  # key and certificate in one file, so that they change in one step
PUBLIC_FILE = "cert.pem"  # the certificate alone, for clients that are told to trust it


def ensure(mail_root: Path, hostname: str, domains: Iterable[str]) -> Path:
    """The file with key and certificate, made when absent, about to expire or for other names.

    Args:
        mail_root: the store; the file goes to its folder `tls`.
        hostname: first of the names in the certificate.
        domains: more names; localhost, 127.0.0.1 and ::1 are always there.

    Raises:
        OSError: the folder cannot be read or written.
    """
    names = list(dict.fromkeys([hostname, *domains, "localhost", "127.0.0.1", "::1"]))
    folder = runfiles.make_folder(mail_root, "tls")
    path = folder / FILE
    with _locked(folder):  # workers start at the same time
        if not _is_good(path, names):
            key, certificate = make(names, datetime.now(UTC))
            runfiles.write(mail_root, path, key + certificate)
            runfiles.write(mail_root, folder / PUBLIC_FILE, certificate, 0o644)
    return path


def make(names: list[str], now: datetime) -> tuple[bytes, bytes]:
    """A new P-256 key and a certificate for `names`, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of clients differ
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    raw_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return raw_key, certificate.public_bytes(serialization.Encoding.PEM)


def end_point(raw: bytes) -> bytes | None:
    """The hash of the first certificate in PEM text by RFC 5929 4.1: that of its signature, or
    SHA-256 in place of MD5 and SHA-1. None: there is no such hash.
    """
    try:
        certificate = x509.load_pem_x509_certificate(raw)
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    is_weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    return certificate.fingerprint(hashes.SHA256() if is_weak else algorithm)


def _is_good(path: Path, names: list[str]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    fresh = certificate.not_valid_after_utc - RENEW_BEFORE > datetime.now(UTC)
    return fresh and all(_general(name) in found for name in names)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
