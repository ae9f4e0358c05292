"""The tables of commands and features that are shipped; a plugin that extends IMAP returns the same
types, and those of additions.py.

One entry per command, made by `@command` in the module of that command; a name taken twice raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from rmail_imap.additions import Extension
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged OK of a command.

    `code` is a response code without brackets, `after` runs once the OK is sent.
    `tells_modseq`: messages were expunged, and a client that knows VANISHED is told up to which
    MODSEQ it knows everything (RFC 7162 3.2.7). `holds_expunges`: EXPUNGE may not be sent before
    this OK, whatever the command. `holds_news`: nor anything else that is news; what was answered
    is one moment of the mailbox.
    """

    text: str = ""
    code: bytes = b""
    after: Callable[[], Awaitable[None]] | None = None
    tells_modseq: bool = False
    holds_expunges: bool = False
    holds_news: bool = False


Handler = Callable[[Session, A], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Command(Extension):
    """One command.

    Attributes:
        name: in upper case.
        parse: takes all arguments, from the byte after the name on.
        run: acts and writes untagged responses; None stands for a plain OK.
        uid: `UID name` exists too.
        capability: what advertises it, "" for the base protocol.
        tells_expunge: EXPUNGE responses may be sent before its OK (RFC 3501 7.4.1); with UID they
            always may.
        streams: parse succeeds on the bytes before its last literal, which `run` reads itself.
    """

    name: str
    parse: Callable[[Cursor], Any]
    run: Handler[Any]
    state: State
    rfc: str = ""
    uid: bool = False
    capability: str = ""
    tells_expunge: bool = True
    streams: bool = False

    def is_allowed(self, now: State) -> bool:
        """Whether it may run in this state."""
        if self.state is State.AUTHENTICATED:
            return now in (State.AUTHENTICATED, State.SELECTED)
        return self.state is State.ANY or self.state is now


TABLE: Final[dict[str, Command]] = {}
FEATURES: Final[dict[str, str]] = {}
"""Capabilities that are no command, with the RFC and section."""


def command(
    name: str,
    parse: Callable[[Cursor], A],
    *,
    state: State,
    rfc: str,
    uid: bool = False,
    capability: str = "",
    tells_expunge: bool = True,
    streams: bool = False,
) -> Callable[[Handler[A]], Handler[A]]:
    """Registers a handler; see Command for the arguments."""

    def register(run: Handler[A]) -> Handler[A]:
        if name in TABLE:
            raise ValueError(f"the command {name} is registered twice")
        TABLE[name] = Command(name, parse, run, state, rfc, uid, capability, tells_expunge, streams)
        return run

    return register


def feature(name: str, rfc: str) -> None:
    """Registers a capability that is no command, beside the code that makes it true."""
    if name in FEATURES:
        raise ValueError(f"the feature {name} is registered twice")
    FEATURES[name] = rfc


def no_arguments(cursor: Cursor) -> None:
    """The parser of commands without arguments."""
    cursor.end()
