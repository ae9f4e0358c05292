"""Where a command takes a password from: an option, standard input, or a question without echo."""

from __future__ import annotations

import sys

import typer

from rmail_kernel.auth.passwords import MAX_SECRET_BYTES, is_acceptable, is_printable
from rmail_kernel.errors import Invalid


def read(password: str | None, *, from_stdin: bool) -> str:
    """The password a command was given, asked for twice on a terminal when it was given none.

    Args:
        password: the value of --password.
        from_stdin: whether --password-stdin was given; the first line counts.

    Raises:
        Invalid: given twice or not at all, empty, longer than 1,024 bytes, or with control
            characters.
    """
    if password is not None and from_stdin:
        raise Invalid("give --password or --password-stdin, not both")
    if from_stdin:
        password = sys.stdin.readline(MAX_SECRET_BYTES + 2).rstrip("\r\n")
    elif password is None:
        password = _ask()
    if not password:
        raise Invalid("the password is empty")
    if not is_printable(password):
        raise Invalid("the password holds control characters or bytes that are not UTF-8")
    if not is_acceptable(password):
        raise Invalid(f"the password is longer than {MAX_SECRET_BYTES} bytes")
    return password


def _ask() -> str:
    if not sys.stdin.isatty():
        raise Invalid("no password; give --password or --password-stdin")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
