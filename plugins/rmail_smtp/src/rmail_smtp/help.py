"""HELP: the commands of a table and their syntax. RFC 5321 4.1.1.8."""

from __future__ import annotations

from collections.abc import Mapping

from rmail_smtp.command import Command
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session


def help_command(table: Mapping[bytes, Command]) -> Command:
    """HELP about a table; it reads the table when it runs, so it may be part of it."""

    async def help_(_: Session, raw_argument: bytes) -> Reply:
        command = table.get(raw_argument.upper())
        if command is not None:
            return Reply(214, "2.0.0", f"Syntax: {command.syntax}")
        verbs = " ".join(verb.decode("ascii") for verb in table)
        return Reply(214, "2.0.0", f"Commands: {verbs}")

    return Command(b"HELP", help_, "HELP [command]", needs_hello=False)
