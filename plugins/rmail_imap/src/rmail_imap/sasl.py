"""How the kernel's SASL exchanges look on IMAP's lines (RFC 3501 6.2.2)."""

from __future__ import annotations

import binascii
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_kernel.auth.sasl.mechanisms import names

MECHANISMS: Final = frozenset(names(has_scram=True, is_bindable=True))
"""All mechanisms that there may be; which ones are offered depends on settings and connection."""


def decode(raw: bytes) -> bytes:
    """Base64 of one line of the exchange.

    Raises:
        BadSyntax: it is not base64.
    """
    if len(raw) % 4:  # which strict mode overlooks behind a whole group
        raise BadSyntax("Not base64")
    try:
        return binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error as error:
        raise BadSyntax("Not base64") from error
