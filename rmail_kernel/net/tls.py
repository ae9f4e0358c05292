"""TLS contexts of the server side: TLS 1.2 and newer (RFC 8314 4.1, RFC 9325), the configured or
the self-signed certificate, replaced in place at reload.

A bad new certificate never takes the place of a working one.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, Self

import structlog

from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError

_log = structlog.get_logger("rmail.tls")
# RFC 9325 4.1, 4.2: forward secrecy by elliptic curves, AEAD first; CBC last, for mail servers of
# the last decade. CCM8 has tags of 64 bits only.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!AESCCM8:!aNULL:!eNULL:!MD5:!DSS:!PSK"
TICKET_KEY_S: Final = 86400.0
"""How long one key encrypts the tickets by which clients resume (RFC 9325 3.4)."""


@dataclass(slots=True)
class _Pair:
    """The contexts that hold the certificate of now."""

    server: ssl.SSLContext
    http: ssl.SSLContext
    raw_certificate: bytes  # PEM
    bindings: Mapping[str, bytes] | None = None  # of its certificate, found when somebody asks


class TlsContexts:
    """The contexts that listeners use, for as long as the process lives.

    Attributes:
        http: offers "http/1.1" by ALPN (RFC 7301).

    Each handshake takes its certificate from the pair of now: loading a second certificate into a
    context in use would keep the old one beside it when the type of key changes.
    """

    http: ssl.SSLContext

    def __init__(
        self, cert_file: Path, key_file: Path | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._current = _load(cert_file, key_file)
        self.http = self._current.http
        self.http.sni_callback = self._choose_http
        self._clock = clock
        self._begin_server()

    @property
    def server(self) -> ssl.SSLContext:
        """For mail protocols, no ALPN. To be asked for each connection: OpenSSL has one key for
        tickets in a context, as long as this lives, so none lives long (RFC 9325 3.4).
        """
        if self._clock() - self._began_at >= TICKET_KEY_S:
            self._begin_server()
        return self._server

    def _begin_server(self) -> None:
        self._began_at = self._clock()
        self._server = _bare()  # it never shows a certificate of its own
        self._server.sni_callback = self._choose_server

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Contexts for the configured certificate, or for a self-signed one that is made now.

        Raises:
            ConfigError: a file is missing, unreadable, not PEM, or the key is another's.
        """
        return cls(*_files(settings))

    def reload(self, settings: Settings) -> bool:
        """Takes the certificate of `settings` for new handshakes; whether it could be read. If not,
        the old one stays and the log has the reason.
        """
        try:
            self._current = _load(*_files(settings))
        except ConfigError as error:
            _log.error("certificate kept: the new one cannot be used", reason=error.safe)
            return False
        return True

    def bindings(self, connection: ssl.SSLObject) -> Mapping[str, bytes] | None:
        """What the connection is known by, by the type of channel binding: the hash of its
        certificate (tls-server-end-point, RFC 5929 4) and, before TLS 1.3, its handshake
        (tls-unique, RFC 5929 3). None: it cannot be bound.

        A certificate whose signature has no hash of its own (Ed25519), and one that was replaced
        since the handshake, bind nothing; nor does a handshake that goes on from another (RFC 7677
        4). RFC 9266 has a type for TLS 1.3, but Python gives no access to its key exporter.
        """
        found = self._of_certificate() if self._is_current(connection) else {}
        if connection.version() == "TLSv1.2" and not connection.session_reused:
            unique = connection.get_channel_binding("tls-unique")
            found = {**found, "tls-unique": unique} if unique else found
        return found or None

    def _is_current(self, connection: ssl.SSLObject) -> bool:
        return connection.context in (self._current.server, self._current.http)

    def _of_certificate(self) -> Mapping[str, bytes]:
        if self._current.bindings is None:
            from rmail_kernel.net import certificate

            raw = certificate.end_point(self._current.raw_certificate)
            # An empty one has been looked for in vain.
            self._current.bindings = {} if raw is None else {"tls-server-end-point": raw}
        return self._current.bindings

    # The callback also runs for clients that send no server name (name is None then).
    def _choose_server(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._current.server

    def _choose_http(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._current.http


def _files(settings: Settings) -> tuple[Path, Path | None]:
    tls = settings.tls
    if tls.cert_file is not None:
        return tls.cert_file, tls.key_file
    from rmail_kernel.net import certificate

    try:
        found = certificate.ensure(settings.mail_root, settings.hostname, settings.domains)
    except OSError as error:
        raise ConfigError(f"cannot keep a certificate in {settings.mail_root}: {error}") from error
    return found, None


def _load(cert_file: Path, key_file: Path | None) -> _Pair:
    contexts = _context(cert_file, key_file), _context(cert_file, key_file)
    pair = _Pair(*contexts, cert_file.read_bytes())
    pair.http.set_alpn_protocols(["http/1.1"])
    return pair


def _bare() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
    return context


def _context(cert_file: Path, key_file: Path | None) -> ssl.SSLContext:
    context = _bare()
    for path in (cert_file, key_file):
        if path is not None:
            _check_readable(path)
    try:  # without a password OpenSSL would ask for one on the terminal
        context.load_cert_chain(cert_file, key_file, password="")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(_explain(error, cert_file, key_file), path="tls.cert_file") from error
    return context


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", path="tls.cert_file") from error


def _explain(error: OSError, cert_file: Path, key_file: Path | None) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {key_file or cert_file} does not belong to the certificate {cert_file}"
    return f"{cert_file} and its key are not a usable PEM pair (an encrypted key cannot be read)"
