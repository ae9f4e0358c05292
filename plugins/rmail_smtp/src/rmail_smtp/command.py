"""What a command is: one row of the table that a session runs by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

Handler = Callable[[Session, bytes], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """A verb and its handler.

    Args:
        verb: upper case.
        run: gets the session and the raw argument; its answer is sent.
        syntax: for HELP.
        max_line_bytes: RFC 5321 4.5.3.1.4 has 512; extensions raise it for theirs.
        needs_hello: refused before HELO or EHLO (RFC 5321 4.1.4).
        takes_argument: False: an argument is a syntax error (RFC 5321 4.1.1).
    """

    verb: bytes
    run: Handler
    syntax: str
    max_line_bytes: int = 512
    needs_hello: bool = True
    takes_argument: bool = True
