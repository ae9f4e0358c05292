"""One connection: reads a command, checks it against the table, runs it, writes what it answers.

RFC 3501 2.2. The only place where errors become responses; what no one expected goes to the log
with an id, and only the id to the client.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import structlog

from rmail_imap import capabilities, metrics, updates, write
from rmail_imap.catalog import Catalog
from rmail_imap.commands import Command, Reply
from rmail_imap.errors import BadSyntax, Goodbye, Refused, code_of
from rmail_imap.literals import drop, drop_announced
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.wire import Disconnected, LineTooLong, Silence
from rmail_kernel.errors import RmailError
from rmail_kernel.turns import Pace

_log = structlog.get_logger("rmail.imap")
_HEAD: Final = re.compile(
    rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}+) (?i:(uid) )?([A-Za-z0-9\-]{1,32}+)"
)
_TAG: Final = re.compile(rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}+) ")
_LITERAL_END: Final = re.compile(rb"\{(\d{1,18})(\+?)\}\r?\n\Z")
_ANNOUNCEMENT_BYTES: Final = 24  # what _LITERAL_END matches at most
_ANNOUNCEMENT_ENDS: Final = (b"}\r\n", b"}\n")
_MAX_SKIPPED_BYTES: Final = 1 << 20
_EARLY_LITERALS: Final = frozenset({"AUTHENTICATE", "ID", "LOGIN"})


_DONE: Final = Reply()


@lru_cache(maxsize=512)
def _completed(text: str) -> bytes:
    """What follows the tag in an OK without code."""
    return write.status(b" OK", text) + b"\r\n"


def _text(name: str, is_uid: bool) -> str:
    """The text of a plain OK."""
    return f"UID {name} completed" if is_uid else f"{name} completed"


@dataclass(slots=True)
class _Request:
    """A command as far as it is known."""

    tag: bytes
    command: Command | None
    is_uid: bool
    raw: bytes
    at: int  # where the arguments start
    args: Any = None  # as parsed, where that was needed to read the command
    problem: RmailError | None = None


class Connection:
    """Runs the commands of one session.

    Args:
        session: of this connection.
        catalog: the commands there are.
    """

    __slots__ = ("_catalog", "_faults", "_goodbye", "_session", "_wire")

    def __init__(self, session: Session, catalog: Catalog) -> None:
        self._session = session
        self._catalog = catalog
        self._wire = session.wire
        self._faults = 0
        self._goodbye: Goodbye | None = None

    async def run(self, admission: Awaitable[None]) -> None:
        """Greets and serves until one side ends it. Raises nothing but cancellation.

        Args:
            admission: ends when the client may come in; Goodbye: it may not.
        """
        try:
            await admission
            await self._serve()
        except Disconnected:
            pass
        except Goodbye as error:
            self._farewell(error.safe, error.code)
        except Silence:
            self._farewell("You were silent for too long")  # RFC 3501 5.4
        except Exception as error:  # noqa: BLE001 - the last resort of one connection
            self._farewell(f"Internal error {self._report(error)}", b"SERVERBUG")
        finally:
            self._wire.close()

    async def _serve(self) -> None:
        session = self._session
        # No name for it: it would be kept as long as the session lasts.
        session.write(write.greeting(capabilities.code(session)))
        await self._wire.flush()
        pace: Pace | None = None
        while not session.is_over:
            request = await self._read()
            if request is not None:
                await self._answer(request)
            if not self._wire.intake.has_line:
                await self._wire.flush()
                pace = None
            else:  # others want to run beside one who pipelines without end
                pace = pace or Pace()
                await session.flush_full()
                await pace.breathe()
            if self._faults >= session.settings.max_bad_commands:
                raise Goodbye("Too many faulty commands")

    # --- reading

    async def _read(self) -> _Request | None:
        """The next command with its literals; None if there was no tag to answer to."""
        limit = self._session.line_limit_bytes
        self._wire.intake.held_bytes = 0
        try:
            line = await self._wire.read_line(limit)
        except LineTooLong:
            limit = self._session.long_line_bytes(self._wire.intake.peek(128))
            try:
                line = await self._wire.read_line(limit)
            except LineTooLong:
                return await self._skip_line(limit)
        head = _HEAD.match(line)
        tag = head or _TAG.match(line)
        if tag is None:
            await drop_announced(self._session, line)
            self._fault(b"*", BadSyntax("Expected a tag and a command"))
            return None
        self._wire.intake.held_bytes = len(line)
        request = _Request(tag[1], None, False, line, 0)
        if head is None:
            request.problem = BadSyntax("Expected a command")
        else:
            request.is_uid, request.at = head[2] is not None, head.end()
            try:
                request.command = self._catalog.find(
                    head[3].decode().upper(),
                    is_uid=request.is_uid,
                    now=self._session.state,
                    off=self._session.off,
                )
            except BadSyntax as error:
                request.problem = error
        if line.endswith(_ANNOUNCEMENT_ENDS):
            await self._read_literals(request, limit)
        return request

    async def _skip_line(self, limit: int) -> _Request | None:
        """A line that is too long: it is dropped up to its end, if that comes soon."""
        start = await self._wire.read_exactly(min(limit, 128))
        try:
            end = await self._wire.discard_line(_MAX_SKIPPED_BYTES)
        except LineTooLong as error:
            raise Goodbye("The line is too long", b"TOOBIG") from error
        await drop_announced(self._session, end)
        tag = _TAG.match(start)
        self._fault(tag[1] if tag else b"*", BadSyntax("The line is too long", b"TOOBIG"))
        return None

    async def _read_literals(self, request: _Request, limit: int) -> None:
        """Reads what follows each `{n}` or `{n+}` at a line's end (RFC 3501 4.3, RFC 7888). A
        literal may itself end like the announcement of one, so only the last line is looked at;
        and there may be thousands of them.
        """
        line, raw, pace = request.raw, bytearray(request.raw), Pace()
        while literal := _LITERAL_END.search(line, max(0, len(line) - _ANNOUNCEMENT_BYTES)):
            self._wire.intake.held_bytes = len(raw)
            size, is_waiting = int(literal[1]), not literal[2]
            if not (is_waiting or self._session.takes_unasked(size) or request.problem):
                request.problem = BadSyntax("Such a literal waits to be asked for", b"TOOBIG")
            if self._is_for_command(request, raw):
                return
            if request.problem is None and not self._may_hold_literal(request):
                request.problem = BadSyntax("No literal belongs here before login", b"TOOBIG")
            if request.problem is None and len(raw) + size > limit:
                request.problem = BadSyntax("The literal is too large", b"TOOBIG")
            if request.problem is not None:
                if is_waiting:
                    return  # the client hears of it instead of sending
                await drop(self._session, size)
                line = await self._rest_of_line(limit)
                raw[:] = line
            else:
                if is_waiting:
                    await self._session.ask()
                raw += await self._wire.read_exactly(size)
                line = await self._rest_of_line(limit - len(raw))
                raw += line
            await pace.breathe()
        request.raw = bytes(raw)

    def _may_hold_literal(self, request: _Request) -> bool:
        """Strangers send literals only where a login or a name may need one."""
        command = request.command
        is_early = self._session.info.principal is None
        return not is_early or (command is not None and command.name in _EARLY_LITERALS)

    def _is_for_command(self, request: _Request, raw: bytearray) -> bool:
        """Whether the literal that comes now is one that the command reads by itself."""
        command = request.command
        if command is None or not command.streams or request.problem is not None:
            return False
        request.raw = bytes(raw)
        try:
            request.args = command.parse(self._cursor(request))
        except RmailError:
            return False
        return True

    async def _rest_of_line(self, limit: int) -> bytes:
        try:
            return await self._wire.read_line(max(limit, 1024))
        except LineTooLong as error:
            raise Goodbye("The command is too long", b"TOOBIG") from error

    # --- answering

    async def _answer(self, request: _Request) -> None:
        """Runs a command and writes its tagged line."""
        name = request.command.name if request.command is not None else "unknown"
        self._session.begin(request.tag)
        result = "BAD"
        try:
            result = await self._outcome(request)
        finally:
            metrics.count(name, result, self._session.finish())
        if self._goodbye is not None:
            raise self._goodbye

    async def _outcome(self, request: _Request) -> str:
        """What the tagged line said: OK, NO or BAD."""
        try:
            await self._session.check_current()
            if request.problem is not None:
                raise request.problem
            assert request.command is not None
            command = request.command
            reply = await self._run(request, command)
        except BadSyntax as error:
            self._fault(request.tag, error)
            return "BAD"
        except (Goodbye, Disconnected, Silence):
            raise
        except RmailError as error:
            await self._refuse(request, error)
        except Exception as error:  # noqa: BLE001 - one command must not end the session
            text = f"Internal error {self._report(error)}"
            await self._refuse(request, Refused(text, b"SERVERBUG"))
        else:
            self._faults = 0
            text = reply.text or _text(command.name, request.is_uid)
            if reply.code:
                self._tagged(request.tag, b"OK", text, reply.code)
            else:
                self._wire.write(request.tag + _completed(text))
            if reply.after is not None:
                await reply.after()
            return "OK"
        return "NO"

    async def _run(self, request: _Request, command: Command) -> Reply:
        session = self._session
        args = command.parse(self._cursor(request)) if request.args is None else request.args
        reply = await command.run(session, args) or _DONE
        may_expunge = command.tells_expunge or request.is_uid
        if not reply.holds_news:
            await self._tell_news(tells_expunge=may_expunge and not reply.holds_expunges)
        if reply.tells_modseq and session.is_qresync and session.selected is not None:
            modseq = session.selected.told_modseq
            reply = replace(reply, code=b"HIGHESTMODSEQ %d" % modseq)
        if not reply.code and session.selected is not None and session.selected.holds_expunges:
            reply = replace(reply, code=b"EXPUNGEISSUED")  # RFC 5530 3
        return reply

    async def _refuse(self, request: _Request, error: RmailError) -> None:
        self._faults = 0
        await self._tell_news(tells_expunge=False)
        code = code_of(error)
        self._tagged(request.tag, b"NO", error.safe, b"SERVERBUG" if code is None else code)

    async def _tell_news(self, *, tells_expunge: bool) -> None:
        """What is done is done, and the client must hear of it: a session that has to end ends
        after the answer.
        """
        try:
            await updates.drain(self._session, tells_expunge=tells_expunge)
        except Goodbye as error:
            self._goodbye = error

    def _cursor(self, request: _Request) -> Cursor:
        raw = request.raw.removesuffix(b"\n").removesuffix(b"\r")
        limits = self._session.limits
        dialect = self._session.dialect
        return Cursor(raw, request.at, is_uid=request.is_uid, limits=limits, dialect=dialect)

    def _fault(self, tag: bytes, error: BadSyntax) -> None:
        self._faults += 1
        self._tagged(tag, b"BAD", error.safe, error.code)

    def _tagged(self, tag: bytes, kind: bytes, text: str, code: bytes = b"") -> None:
        self._wire.write(write.status(tag + b" " + kind, text, code) + b"\r\n")

    def _farewell(self, text: str, code: bytes = b"") -> None:
        self._wire.write(write.status(b"* BYE", text, code) + b"\r\n")

    def _report(self, error: Exception) -> str:
        """Logs a traceback; the id to look for."""
        report = secrets.token_hex(4)
        principal = self._session.info.principal
        account = None if principal is None else principal.account
        session = self._session.info.id
        _log.error("imap failed", id=report, session=session, account=account, exc_info=error)
        return report
