"""One transaction: MAIL, RCPT for each, DATA or BDAT, and what each answer means for whom.

RFC 5321 3.3, 4.1.1, 4.5.3.1.10; RFC 2920 (pipelining); RFC 3030 (BDAT). Once the end of the message
is under way, nobody but the peer knows whether it was taken. A lost answer then means a later
attempt and may mean a second copy; nowhere else may one arise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rmail_kernel.model import Address
from rmail_relay.client import commands
from rmail_relay.client.lines import canonical, dot_stuffed
from rmail_relay.client.parcel import Parcel, is_sent_binary
from rmail_relay.client.reply import Reply
from rmail_relay.client.session import Session
from rmail_relay.client.verdict import Garbled, Lost, PeerFailure, Verdict

CHUNK_BYTES = 1 << 20
"""The largest BDAT chunk."""
MAX_RECIPIENTS = 100
"""Of one transaction; RFC 5321 4.5.3.1.8: every server takes as many."""
Verdicts = dict[Address, Verdict]
_TOO_MANY = 452  # RFC 5321 4.5.3.1.10
_GOODBYE = 221  # RFC 5321 4.2.3: it speaks of the connection, not of the message
_END = b".\r\n"


def batch_of(session: Session, recipients: Sequence[Address]) -> Sequence[Address]:
    """As many as the peer takes in one transaction (RFC 9422 4.2: RCPTMAX)."""
    limit = session.extensions.limit("RCPTMAX")
    return recipients[: min(limit or MAX_RECIPIENTS, MAX_RECIPIENTS)]


async def transact(
    session: Session, parcel: Parcel, recipients: Sequence[Address], verdicts: Verdicts
) -> None:
    """Sends a message to some recipients.

    Args:
        verdicts: gets the fate of each recipient as soon as it is known. Those without one when
            this returns were one too many for the peer; another transaction may take them.

    Raises:
        PeerFailure: the session is over; recipients without a verdict got nothing.
    """
    dialogue = _Dialogue(session, parcel, recipients, verdicts)
    session.transactions += 1
    session.is_clean = False
    try:
        await dialogue.run()
    except PeerFailure as failure:
        session.wire.abort()
        if not dialogue.is_end_sent:
            if not dialogue.was_heard and session.transactions > 1:
                failure.is_stale = True
            raise
        dialogue.settle(failure.verdict)


class _Dialogue:
    def __init__(
        self, session: Session, parcel: Parcel, recipients: Sequence[Address], verdicts: Verdicts
    ) -> None:
        self.session = session
        self.parcel = parcel
        self.recipients = recipients
        self.verdicts = verdicts
        self.accepted: list[Address] = []
        self.times = session.local.timeouts
        self.is_chunked = "CHUNKING" in session.extensions
        self.was_clean = session.is_clean
        self.is_end_sent = False
        self.was_heard = False

    async def run(self) -> None:
        if "PIPELINING" in self.session.extensions:
            data = await self._envelope_at_once()
        else:
            data = await self._envelope_by_turns()
        if not self.accepted:
            if data is not None and data.code == 354:  # RFC 2920 3.1: end what nobody gets
                await self.session.wire.write(_END, self.times.block_s)
                await self.session.reply(self.times.final_s)
            return
        if self.is_chunked:
            await self._send_chunks()
        elif data is not None:
            await self._send_data(data)

    def settle(self, verdict: Verdict) -> None:
        """The fate of those who were accepted."""
        self.verdicts.update(dict.fromkeys(self.accepted, verdict))

    # --- the envelope ---

    def _openers(self) -> Iterator[tuple[str, float]]:
        """RSET where something is left, and MAIL: commands with their patience."""
        if not self.was_clean:
            yield "RSET", self.times.command_s
        yield commands.mail(self.parcel, self.session.extensions), self.times.command_s

    def _rcpt(self, recipient: Address) -> str:
        return commands.rcpt(self.parcel, recipient, self.session.extensions)

    async def _envelope_at_once(self) -> Reply | None:
        """All commands in one write; then the answers in their order. The answer to DATA."""
        lines = [line for line, _ in self._openers()]
        openers = len(lines)
        lines += map(self._rcpt, self.recipients)
        if not self.is_chunked:
            lines.append("DATA")
        await self.session.wire.write(
            "".join(f"{line}\r\n" for line in lines).encode("utf-8"), self.times.command_s
        )
        for number in range(1, openers + 1):
            reply = await self._reply(self.times.command_s)
            is_refused = number == openers and not self._opened(reply)
        for recipient in self.recipients:
            reply = await self._reply(self.times.command_s)
            if not is_refused:
                self._note(recipient, reply)
        return None if self.is_chunked else await self._reply(self.times.data_s)

    async def _envelope_by_turns(self) -> Reply | None:
        for line, timeout_s in self._openers():
            reply = await self._command(line, timeout_s)
        if not self._opened(reply):
            return None
        for recipient in self.recipients:
            self._note(recipient, await self._command(self._rcpt(recipient), self.times.command_s))
        if self.is_chunked or not self.accepted:
            return None
        return await self._command("DATA", self.times.data_s)

    def _opened(self, reply: Reply) -> bool:
        """Whether MAIL was taken. If not, it is the fate of all."""
        if reply.is_positive:
            return True
        self._must_be_refusal(reply)
        self.verdicts.update(dict.fromkeys(self.recipients, Verdict.of(reply)))
        return False

    def _note(self, recipient: Address, reply: Reply) -> None:
        if reply.is_positive:
            self.accepted.append(recipient)
            return
        self._must_be_refusal(reply)
        if reply.code == _TOO_MANY and self.accepted and reply.status in ("4.5.3", "4.0.0"):
            return  # RFC 5321 4.5.3.1.10: another transaction for the rest
        self.verdicts[recipient] = Verdict.of(reply)

    def _must_be_refusal(self, reply: Reply) -> None:
        if reply.code < 400:
            raise Garbled(f"The peer answered {reply.code} where that means nothing")

    async def _command(self, line: str, timeout_s: float) -> Reply:
        reply = await self.session.command(line, timeout_s)
        self.was_heard = True
        return reply

    async def _reply(self, timeout_s: float) -> Reply:
        reply = await self.session.reply(timeout_s)
        self.was_heard = True
        return reply

    # --- the message ---

    async def _send_data(self, ready: Reply) -> None:
        """DATA was answered; the message and its dot, and the answer that counts."""
        if ready.code != 354:
            self._must_be_refusal(ready)
            self.settle(Verdict.of(ready))
            return
        wire = self.session.wire
        chunks = dot_stuffed(canonical(self.parcel.content.chunks()))
        for chunk, is_last in _marked(chunks):
            if wire.has_reply:
                await self._interrupted()
                return
            self.is_end_sent = is_last
            await self._write(chunk + _END if is_last else chunk)
        self._finish(await self.session.reply(self.times.final_s))

    async def _interrupted(self) -> None:
        """The peer speaks before the message is whole: it has not taken it."""
        reply = await self.session.reply(self.times.final_s)
        self._must_be_refusal(reply)
        self.settle(Verdict.of(reply))
        self.session.wire.abort()  # there is no other way out of half a message

    async def _send_chunks(self) -> None:
        """BDAT, each chunk with its answer (RFC 3030 2)."""
        raw = self.parcel.content.chunks()
        is_binary = is_sent_binary(self.parcel, self.session.extensions)
        for chunk, is_last in _marked(_pieces(raw if is_binary else canonical(raw))):
            head = f"BDAT {len(chunk)} LAST\r\n" if is_last else f"BDAT {len(chunk)}\r\n"
            self.is_end_sent = is_last
            await self._write(head.encode("ascii") + chunk)
            reply = await self.session.reply(self.times.final_s)
            if is_last or not reply.is_positive:
                self._finish(reply)
                return

    async def _write(self, raw: bytes) -> None:
        """Sends a part of the message. A peer that left may have said why: that is read next."""
        try:
            await self.session.wire.write(raw, self.times.block_s)
        except Lost:
            if not self.session.wire.has_bytes:
                raise

    def _finish(self, reply: Reply) -> None:
        """The answer to the whole message; nothing that is no answer is a yes."""
        if not reply.is_positive or reply.code == _GOODBYE:
            self._must_be_refusal(reply)
        self.session.is_clean = reply.is_positive
        self.settle(Verdict.of(reply))


def _marked(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last; an empty one where there is none."""
    ahead = iter(chunks)
    chunk = next(ahead, b"")
    for following in ahead:
        yield chunk, False
        chunk = following
    yield chunk, True


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of at most CHUNK_BYTES, small ones put together."""
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK_BYTES):
            piece = chunk[at : at + CHUNK_BYTES]
            if size + len(piece) > CHUNK_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
            gathered.append(piece)
            size += len(piece)
    yield b"".join(gathered)
