"""Replies: code, enhanced status and text, in their wire form.

Whatever text comes in, a reply stays within its line and within ASCII. RFC 5321 4.2, RFC 2034.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmail_kernel.model import Defer, Reject

MAX_TEXT_BYTES = 480  # RFC 5321 4.5.3.1.5: 512 octets a line with code and line end
_PERMANENT = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply.

    Args:
        code: RFC 5321 4.2.3.
        status: RFC 3463 status, '' where RFC 2034 4 has none (greeting, EHLO, 334, 354).
        text: one or several lines.
        closes: whether the server ends the connection after it.
    """

    code: int
    status: str
    text: str | tuple[str, ...]
    closes: bool = False

    @property
    def is_error(self) -> bool:
        """Whether it counts against the session's error budget."""
        return self.code // 100 == _PERMANENT

    def encode(self) -> bytes:
        """The reply in wire form, with its line ends."""
        lines = (self.text,) if isinstance(self.text, str) else self.text
        status = f"{self.status} " if self.status else ""
        last = len(lines) - 1
        return b"".join(
            f"{self.code}{' ' if at == last else '-'}{status}{_clean(line)}\r\n".encode("ascii")
            for at, line in enumerate(lines)
        )


def of_verdict(verdict: Reject | Defer) -> Reply:
    """The reply that a policy verdict asks for; a code of the wrong kind is put right."""
    kind, fallback = (5, 550) if isinstance(verdict, Reject) else (4, 451)
    code = verdict.code if verdict.code // 100 == kind else fallback
    has_class = verdict.status.startswith(f"{kind}.")
    return Reply(code, verdict.status if has_class else f"{kind}.7.1", verdict.text)


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable() and len(text) <= MAX_TEXT_BYTES:
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text[:MAX_TEXT_BYTES])


OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Sender ok")  # RFC 3463 3.2
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
BYE = Reply(221, "2.0.0", "Bye", closes=True)
START_DATA = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
TOO_LARGE = Reply(552, "5.3.4", "The message is larger than EHLO's SIZE allows")
NO_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")  # RFC 5321 3.3
MAIL_FIRST = Reply(503, "5.5.1", "Bad sequence of commands, send MAIL first")
RCPT_FIRST = Reply(503, "5.5.1", "Bad sequence of commands, send RCPT first")
TRANSACTION_OPEN = Reply(503, "5.5.1", "Bad sequence of commands, RSET ends this transaction")
HELLO_FIRST = Reply(503, "5.5.1", "Say HELO or EHLO first")
UNKNOWN_COMMAND = Reply(500, "5.5.2", "Command not recognized, see HELP")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
BARE_NEWLINE = Reply(500, "5.5.2", "Commands end in CR LF", closes=True)
ENDLESS_LINE = Reply(500, "5.5.2", "Line too long", closes=True)
NOT_SMTP = Reply(554, "5.5.1", "This is an SMTP server", closes=True)
# RFC 4954 6, RFC 3207 4
AUTH_NEEDED = Reply(530, "5.7.0", "Authentication required, send AUTH first")
TLS_NEEDED = Reply(530, "5.7.0", "Authentication required, send STARTTLS and AUTH first")
ENOUGH_MAIL = Reply(421, "4.7.0", "Enough mail for one connection, open another", closes=True)
IDLE = Reply(421, "4.4.2", "Idle for too long", closes=True)  # RFC 5321 4.5.3.2
SESSION_TOO_LONG = Reply(421, "4.4.2", "The session has lasted too long", closes=True)
DRAINING = Reply(421, "4.3.2", "The server is shutting down", closes=True)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors", closes=True)
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without mail", closes=True)
TOO_MANY_CONNECTIONS = Reply(
    421, "4.7.0", "Too many connections from your address, try again later", closes=True
)
TOO_MANY_UNKNOWN = Reply(
    421, "4.7.0", "Too many unknown recipients, try again in a minute", closes=True
)
TOO_MANY_FAILURES = Reply(421, "4.7.0", "Too many failed logins", closes=True)
MAKE_ROOM = Reply(421, "4.3.2", "The server is busy, connect again with mail", closes=True)
TOO_MANY_SESSIONS = Reply(421, "4.3.2", "Too many sessions, try again later", closes=True)
EARLY_TALKER = Reply(554, "5.5.1", "You spoke before the greeting", closes=True)
