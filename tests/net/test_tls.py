"""TLS contexts: which certificate a client sees, and what a bad one does."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from rmail_kernel.errors import ConfigError
from rmail_kernel.net import certificate
from rmail_kernel.net.tls import TICKET_KEY_S, TlsContexts
from tests.net.conftest import MakeSettings, WritePair


def client_context(
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, alpn: list[str] | None = None
) -> ssl.SSLContext:
    """Of a client that trusts everybody."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = newest
    if alpn:
        client.set_alpn_protocols(alpn)
    return client


def handshake(
    server: ssl.SSLContext,
    name: str | None = None,
    alpn: list[str] | None = None,
    again: ssl.SSLObject | None = None,
    client: ssl.SSLContext | None = None,
) -> tuple[x509.Certificate, ssl.SSLObject]:
    """Connects in memory, as it did `again`; the certificate that the client saw, and its end of
    the connection.
    """
    client = client or client_context(alpn=alpn)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = None if again is None else again.session
    near = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    with suppress(ssl.SSLWantReadError):
        near.read(1)  # tickets come behind the handshake
    raw = near.getpeercert(binary_form=True)
    assert raw is not None
    return x509.load_der_x509_certificate(raw), near


def names(found: x509.Certificate) -> list[str]:
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(item.value) for item in alternative]


def test_a_self_signed_certificate_names_hostname_domains_and_loopback(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(hostname="mail.example.com", domains=["example.com", "example.org"])
    found, _ = handshake(TlsContexts.open(settings).server)
    assert names(found) == [
        "mail.example.com",
        "example.com",
        "example.org",
        "localhost",
        "127.0.0.1",
        "::1",
    ]
    path = settings.mail_root / "tls" / certificate.FILE
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_self_signed_certificate_is_kept_until_names_change_or_it_is_about_to_expire(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(domains=["example.com"])
    first, _ = handshake(TlsContexts.open(settings).server)
    again, _ = handshake(TlsContexts.open(settings).server)
    assert again.serial_number == first.serial_number
    other, _ = handshake(TlsContexts.open(make_settings(domains=["example.net"])).server)
    assert "example.net" in names(other)
    monkeypatch.setattr(certificate, "RENEW_BEFORE", certificate.LIFE)
    renewed, _ = handshake(TlsContexts.open(make_settings(domains=["example.net"])).server)
    assert renewed.serial_number != other.serial_number


def test_a_damaged_self_signed_certificate_is_made_anew(make_settings: MakeSettings) -> None:
    settings = make_settings()
    folder = settings.mail_root / "tls"
    folder.mkdir(parents=True)
    (folder / certificate.FILE).write_bytes(b"-----BEGIN")
    assert "localhost" in names(handshake(TlsContexts.open(settings).server)[0])


def test_a_reload_serves_the_new_certificate_with_and_without_a_server_name(
    make_settings: MakeSettings, write_pair: WritePair
) -> None:
    one, two = write_pair("one.example"), write_pair("two.example")
    contexts = TlsContexts.open(
        make_settings(tls={"cert_file": str(one[0]), "key_file": str(one[1])})
    )
    before, _ = handshake(contexts.server)
    assert names(before) == ["one.example"]
    assert contexts.reload(make_settings(tls={"cert_file": str(two[0]), "key_file": str(two[1])}))
    for server in (contexts.server, contexts.http):
        assert names(handshake(server)[0]) == ["two.example"]
        assert names(handshake(server, "two.example")[0]) == ["two.example"]


def test_a_bad_new_certificate_keeps_the_old_one_and_logs_the_reason(
    make_settings: MakeSettings, write_pair: WritePair, tmp_path: Path
) -> None:
    one = write_pair("one.example")
    contexts = TlsContexts.open(
        make_settings(tls={"cert_file": str(one[0]), "key_file": str(one[1])})
    )
    with capture_logs() as lines:
        missing = make_settings(tls={"cert_file": str(tmp_path / "no"), "key_file": str(one[1])})
        assert not contexts.reload(missing)
    assert "cannot read" in lines[0]["reason"]
    assert names(handshake(contexts.server)[0]) == ["one.example"]


def test_a_key_of_another_certificate_is_refused_with_the_setting(
    make_settings: MakeSettings, write_pair: WritePair
) -> None:
    one, two = write_pair("one.example"), write_pair("two.example")
    with pytest.raises(ConfigError, match="does not belong") as caught:
        TlsContexts.open(make_settings(tls={"cert_file": str(one[0]), "key_file": str(two[1])}))
    assert caught.value.path == "tls.cert_file"


def test_a_file_that_is_no_certificate_is_refused(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ConfigError, match="not a usable PEM pair"):
        TlsContexts.open(make_settings(tls={"cert_file": str(rubbish), "key_file": str(rubbish)}))


def test_an_encrypted_key_is_refused_without_asking(
    make_settings: MakeSettings, write_pair: WritePair, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    cert_file, _ = write_pair("one.example")
    with pytest.raises(ConfigError):
        TlsContexts.open(make_settings(tls={"cert_file": str(cert_file), "key_file": str(locked)}))


def test_a_store_that_cannot_hold_the_certificate_is_refused(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot keep a certificate"):
        TlsContexts.open(make_settings())


def test_only_the_http_context_offers_alpn(make_settings: MakeSettings) -> None:
    contexts = TlsContexts.open(make_settings())
    _, web = handshake(contexts.http, alpn=["h2", "http/1.1"])
    assert web.selected_alpn_protocol() == "http/1.1"
    _, mail = handshake(contexts.server, alpn=["imap"])
    assert mail.selected_alpn_protocol() is None


def test_versions_below_tls_1_2_are_refused(make_settings: MakeSettings) -> None:
    assert TlsContexts.open(make_settings()).server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_ciphers_before_tls_1_3_keep_no_secret_of_the_certificate(
    make_settings: MakeSettings,
) -> None:
    # RFC 9325 4.1: forward secrecy, not by finite fields; 4.2: these first
    offered = [one["name"] for one in TlsContexts.open(make_settings()).server.get_ciphers()]
    before = [name for name in offered if not name.startswith("TLS_")]
    assert all(name.startswith("ECDHE-") for name in before)
    assert not [name for name in before if "CCM8" in name or "DES" in name or "RC4" in name]
    is_sealed = ["GCM" in name or "POLY1305" in name or "CCM" in name for name in before]
    assert is_sealed == sorted(is_sealed, reverse=True)
    assert "GCM" in before[0]


def test_neither_compression_nor_another_handshake_is_taken(make_settings: MakeSettings) -> None:
    # RFC 9325 3.3, 3.5
    options = TlsContexts.open(make_settings()).server.options
    for wanted in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert options & wanted


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_is_good_until_its_key_is_changed(
    write_pair: WritePair, newest: ssl.TLSVersion
) -> None:
    # RFC 9325 3.4
    now = 1000.0
    contexts = TlsContexts(*write_pair("one.example"), clock=lambda: now)
    client = client_context(newest)
    _, first = handshake(contexts.server, client=client)
    now += TICKET_KEY_S - 1
    _, again = handshake(contexts.server, client=client, again=first)
    assert again.session_reused
    now += 1
    seen, later = handshake(contexts.server, client=client, again=again)
    assert not later.session_reused
    assert names(seen) == ["one.example"]
    _, last = handshake(contexts.server, "one.example", client=client, again=later)
    assert last.session_reused


def test_a_new_key_of_tickets_leaves_the_certificate_of_the_last_reload(
    make_settings: MakeSettings, write_pair: WritePair
) -> None:
    now = 0.0
    one, two = write_pair("one.example"), write_pair("two.example")
    contexts = TlsContexts(*one, clock=lambda: now)
    before = contexts.server
    assert contexts.reload(make_settings(tls={"cert_file": str(two[0]), "key_file": str(two[1])}))
    now = TICKET_KEY_S
    for path in (*one, *two):
        path.unlink()  # nobody needs to read them again
    for server in (before, contexts.server):
        assert names(handshake(server)[0]) == ["two.example"]
