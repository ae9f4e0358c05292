"""TLS contexts of the client side (RFC 3207, RFC 7435, RFC 9325)."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=16)
def verifying(ca_file: Path | None) -> ssl.SSLContext:
    """Takes certificates of known authorities for the right name only (RFC 9525 6).

    Raises:
        OSError: the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@lru_cache(maxsize=1)
def tolerant() -> ssl.SSLContext:
    """Takes any certificate: the alternative is clear text (RFC 7435 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
