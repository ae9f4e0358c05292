"""The internet for crash tests: one SMTP server that remembers what it took, in threads."""

from __future__ import annotations

import itertools
import re
import socketserver
import threading
import time
from collections import defaultdict


class Sink(socketserver.ThreadingTCPServer):
    """Takes mail for everyone, but: `bad.test` is refused, `later.test` is deferred once.

    Attributes:
        taken: when (monotonic) and in which transaction each (name of a message, recipient) was
            acknowledged, in order.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: defaultdict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        self._transactions = itertools.count()
        self._deferred: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def verdict(self, recipient: str) -> str:
        """The answer to RCPT."""
        if recipient.endswith("@bad.test"):
            return "550 5.1.1 no such user"
        if recipient.endswith("@later.test"):
            with self._lock:
                if recipient not in self._deferred:
                    self._deferred.add(recipient)
                    return "451 4.3.0 later"
        return "250 ok"

    def take(self, raw: bytes, recipients: list[str]) -> None:
        """A message was acknowledged."""
        subject = re.search(rb"(?m)^Subject: (\S+)", raw)
        name = subject[1].decode() if subject else "?"
        with self._lock:
            at, number = time.monotonic(), next(self._transactions)
            for recipient in recipients:
                self.taken[name, recipient].append((at, number))

    def handle_error(self, request: object, client_address: object) -> None:
        """A client was killed; that is what the test is about."""


class _Session(socketserver.StreamRequestHandler):
    server: Sink

    def handle(self) -> None:
        self._say("220 sink.test")
        recipients: list[str] = []
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                verdict = self.server.verdict(recipient)
                if verdict.startswith("2"):
                    recipients.append(recipient)
                self._say(verdict)
            elif verb == b"DATA" and recipients:
                self._say("354 go")
                raw = self._message()
                if raw is None:
                    return
                # Counted before the answer: a client that never sees it sends once more.
                self.server.take(raw, recipients)
                recipients = []
                self._say("250 taken")
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                if verb in (b"MAIL", b"RSET", b"EHLO"):
                    recipients = []
                self._say("503 no recipients" if verb == b"DATA" else "250 ok")

    def _message(self) -> bytes | None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return None
            lines.append(line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
