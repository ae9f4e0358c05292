"""The patience a server has with one session: errors, failed logins, commands without mail.

RFC 5321 4.3.2 (421 at any time).
"""

from __future__ import annotations

from dataclasses import dataclass

from rmail_smtp import replies
from rmail_smtp.config import SmtpSettings
from rmail_smtp.replies import Reply


@dataclass(slots=True)
class Budget:
    """What a session has used up.

    Attributes:
        idle_commands: commands since the last accepted message.
        mails: MAIL commands.
    """

    errors: int = 0
    failed_logins: int = 0
    idle_commands: int = 0
    mails: int = 0

    def spend(self, reply: Reply, limits: SmtpSettings) -> Reply | None:
        """Counts one answered command; the reply that ends the session, None: it may go on."""
        self.errors += reply.is_error
        self.idle_commands += 1
        if self.failed_logins >= limits.max_auth_failures:
            return replies.TOO_MANY_FAILURES
        if self.errors >= limits.max_errors:
            return replies.TOO_MANY_ERRORS
        if self.idle_commands > limits.max_idle_commands:
            return replies.TOO_MANY_COMMANDS
        return None
