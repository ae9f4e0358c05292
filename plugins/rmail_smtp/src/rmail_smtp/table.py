"""All commands, by verb. Two of one verb are an error at import."""

from __future__ import annotations

from rmail_smtp import auth, bdat, data, hello, transaction
from rmail_smtp.command import Command
from rmail_smtp.help import help_command


def _by_verb(*groups: tuple[Command, ...]) -> dict[bytes, Command]:
    table: dict[bytes, Command] = {}
    for command in (*(each for group in groups for each in group), help_command(table)):
        if command.verb in table:
            raise ValueError(f"two commands are called {command.verb!r}")
        table[command.verb] = command
    return table


COMMANDS = _by_verb(
    hello.COMMANDS, auth.COMMANDS, transaction.COMMANDS, data.COMMANDS, bdat.COMMANDS
)
