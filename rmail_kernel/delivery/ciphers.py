"""Names of TLS cipher suites: OpenSSL's on the one side, those of the IANA registry on the other,
which RFC 8314 4.3 wants. Of TLS 1.3 both are the same.
"""

from __future__ import annotations

import re
from typing import Final

_LENGTH: Final = re.compile(r"AES(?=\d)")
_CHAINED: Final = re.compile(r"(AES_\d+)_(?=SHA)")  # OpenSSL names every mode but CBC
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def registered_name(name: str) -> str:
    """The registered name of a suite that is known by OpenSSL's; "" if it can have none."""
    if not name.startswith("TLS_"):
        exchange, _, rest = name.partition("-")
        signature, _, cipher = rest.partition("-")
        cipher = _CHAINED.sub(r"\1_CBC_", _LENGTH.sub("AES_", cipher).replace("-", "_"))
        hashed = "_SHA256" if cipher.endswith("POLY1305") else ""
        name = f"TLS_{exchange}_{signature}_WITH_{cipher}{hashed}" if cipher else ""
    return name if _NAME.match(name) else ""
