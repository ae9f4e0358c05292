"""TLS of one connection, in memory: bytes in, bytes out, never more of either than is asked for.

The loops bring TLS of their own, which takes 256 KB of each client before anybody may object. This
one knows no socket and waits for nothing. RFC 8446, RFC 3501 6.2.1, RFC 8314 3.2.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final, cast

RECORD_BYTES: Final = 17 << 10
"""The longest record and its header (RFC 8446 5.2): so much may lie in OpenSSL, unseen."""
_PLAIN_BYTES: Final = 1 << 14


class Tls:
    """The server's side of a connection.

    Args:
        context: with the certificate.

    Attributes:
        channel: version, cipher and certificate of the connection.
        is_ready: the handshake is done.
        is_over: the client has said that nothing more comes (RFC 8446 6.1).
    """

    __slots__ = ("_in", "_out", "channel", "is_over", "is_ready")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.channel = context.wrap_bio(self._in, self._out, server_side=True)
        self.is_ready = self.is_over = False

    @property
    def sealed_bytes(self) -> int:
        """Input that was not looked at yet."""
        return self._in.pending

    @property
    def has_more(self) -> bool:
        """Whether `read_into` may have something without more input."""
        return bool(self._in.pending or self.channel.pending())

    def feed(self, raw: memoryview) -> None:
        """Takes what the client sent, and goes on with the handshake.

        Raises:
            ssl.SSLError: the handshake failed; `outgoing` has what to say of it.
        """
        self._in.write(raw)
        if not self.is_ready:
            try:
                self.channel.do_handshake()
            except ssl.SSLWantReadError:
                return
            self.is_ready = True

    def read_into(self, room: memoryview) -> int:
        """Opens input; how many bytes of `room` it fills, 0: there is nothing more.

        Raises:
            ssl.SSLError: it was tampered with.
        """
        if not self.is_ready or self.is_over:
            return 0
        try:
            # typeshed has it give bytes; with a buffer it gives a count.
            count = cast("int", self.channel.read(len(room), room))
        except ssl.SSLWantReadError:
            return 0
        self.is_over = not count
        return count

    def seal(self, raw: bytes) -> bytes:
        """What to send for `raw`. Taken record by record, so that no long buffer stays."""
        view, sealed = memoryview(raw), [self.outgoing()]
        for at in range(0, len(raw), _PLAIN_BYTES):
            self.channel.write(view[at : at + _PLAIN_BYTES])
            sealed.append(self._out.read())
        return b"".join(sealed)

    def outgoing(self) -> bytes:
        """What the protocol itself has to send: handshake, alerts, tickets."""
        return self._out.read()

    def farewell(self) -> bytes:
        """What says that nothing more comes (RFC 8446 6.1)."""
        if self.is_ready:
            with suppress(ssl.SSLError):  # mostly: the client has not said so yet
                self.channel.unwrap()
        return self.outgoing()
