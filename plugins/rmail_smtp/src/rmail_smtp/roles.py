"""The three doors: mail from other servers, and mail from users with and without implicit TLS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """What a listener is for.

    Args:
        listener: its name. protocol: what sessions are called in logs and hooks.
        is_submission: for users (RFC 6409): AUTH is offered and needed.
        implicit_tls: TLS from the first byte (RFC 8314 3.3).
    """

    listener: str
    protocol: str
    is_submission: bool
    implicit_tls: bool = False


SMTP = Role("smtp", "smtp", is_submission=False)
SUBMISSION = Role("submission", "submission", is_submission=True)
SMTPS = Role("smtps", "submission", is_submission=True, implicit_tls=True)
