"""SRS: the sender of forwarded mail becomes an address here, and leads back to the one before.

`SRS0=tag=day=domain=local@here` for a sender, `SRS1=tag=host==rest@here` for one that was rewritten
before (the Sender Rewriting Scheme of Meng Weng Wong and Shevek, 2003). The tag proves that we made
it, so that nobody can send through us to an address of their choice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from rmail_kernel.errors import Invalid
from rmail_kernel.model import MAX_LOCAL_BYTES, Address

VALID_DAYS = 21
_DAY_S = 86400
_DAYS = 1024  # two digits of base 32
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TAG_CHARS = 6
_SRS0 = re.compile(r"SRS0[=+-]([^=]+)=([^=]{2})=([^=]+)=(.+)\Z", re.I)
_SRS1 = re.compile(r"SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)\Z", re.I)


class Srs:
    """Rewrites addresses.

    Args:
        secret: the same for ever; without it addresses made before lead nowhere.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def forward(self, sender: Address, domain: str, now: float) -> Address | None:
        """The address at `domain` that stands for a foreign sender; None: it would be too long.

        Args:
            now: seconds since the epoch.
        """
        local = self._local(sender, int(now // _DAY_S))
        if len(local.encode()) > MAX_LOCAL_BYTES:
            return None
        try:
            return Address.parse(f"{local}@{domain}")
        except Invalid:  # of a quoted local part
            return None

    def _local(self, sender: Address, today: int) -> str:
        again = _SRS1.match(sender.local)
        if again is not None:  # the host that made the SRS0 address stays the same
            return self._srs1(again[2], again[3])
        first = _SRS0.match(sender.local)
        if first is not None:
            return self._srs1(sender.domain, sender.local[4:])
        day = _BASE32[today % _DAYS // 32] + _BASE32[today % 32]
        tag = self._tag(day, sender.domain, sender.local)
        return f"SRS0={tag}={day}={sender.domain}={sender.local}"

    def _srs1(self, host: str, rest: str) -> str:
        return f"SRS1={self._tag(host, rest)}={host}={rest}"

    def reverse(self, address: Address, now: float) -> Address | None:
        """The sender that an address stands for; None: not ours, changed or too old."""
        again = _SRS1.match(address.local)
        if again is not None:
            if not self._is_ours(again[1], again[2], again[3]):
                return None
            return _parsed(f"SRS0{again[3]}@{again[2]}")
        first = _SRS0.match(address.local)
        if first is None or not self._is_ours(first[1], first[2], first[3], first[4]):
            return None
        if not _is_recent(first[2].upper(), int(now // _DAY_S)):
            return None
        return _parsed(f"{first[4]}@{first[3]}")

    def _is_ours(self, tag: str, *parts: str) -> bool:
        expected = self._tag(*parts)
        # Servers on the way may change the case of a local part.
        return hmac.compare_digest(tag.upper().encode(), expected.encode())

    def _tag(self, *parts: str) -> str:
        text = "=".join(parts).lower().encode()
        digest = hmac.new(self._secret, text, hashlib.sha256).digest()
        return base64.b32encode(digest)[:_TAG_CHARS].decode()


def is_rewritten(address: Address) -> bool:
    """Whether an address looks like one of SRS."""
    return address.local[:5].upper() in ("SRS0=", "SRS0+", "SRS0-", "SRS1=", "SRS1+", "SRS1-")


def _is_recent(day: str, today: int) -> bool:
    if any(char not in _BASE32 for char in day):
        return False
    made = _BASE32.index(day[0]) * 32 + _BASE32.index(day[1])
    return (today - made) % _DAYS <= VALID_DAYS


def _parsed(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except Invalid:
        return None
