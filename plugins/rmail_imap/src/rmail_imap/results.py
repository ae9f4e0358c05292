"""The results of SEARCH and SORT: the ESEARCH response, and what `$` stands for afterwards.

RFC 4731 3.1, RFC 5182 2.1, RFC 5267 3.1, RFC 6203 4, RFC 9394 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.parse.returns import Returns
from rmail_kernel.storage.ids import Uid

Row = tuple[int, int]
"""Sequence number and UID."""


@dataclass(frozen=True, slots=True)
class Results:
    """What was found, in the order asked for.

    Attributes:
        scores: how well a UID matches, 1 to 100; empty unless asked for.
    """

    rows: Sequence[Row]
    returns: Returns
    scores: Mapping[int, int]

    @property
    def told(self) -> Sequence[Row]:
        """The rows that RELEVANCY speaks of: those of PARTIAL, otherwise all."""
        partial = self.returns.partial
        return self.rows if partial is None else partial.cut(self.rows)

    def of_response(self) -> list[Uid]:
        """The messages that the response is about, ascending: with MIN, MAX and PARTIAL alone no
        others. They are what `$` stands for (RFC 5182 2.4, RFC 9394 3.2) and whose MODSEQ is told
        (RFC 7162 3.1.10).
        """
        options = self.returns.options
        if not options & {"MIN", "MAX", "PARTIAL"} or options & {"ALL", "COUNT"}:
            return sorted(Uid(uid) for _, uid in self.rows)
        wanted = set(self.told) if "PARTIAL" in options else set()
        if "MIN" in options:
            wanted.update(self.rows[:1])
        if "MAX" in options:
            wanted.update(self.rows[-1:])
        return sorted(Uid(uid) for _, uid in wanted)

    def response(self, raw_tag: bytes, *, is_uid: bool, modseq: int) -> bytes:
        """The ESEARCH response; of MIN, MAX and ALL none when nothing matched (RFC 4731 3.1).

        Args:
            modseq: the newest of the messages, 0 if it is not to be told.
        """
        column = int(is_uid)
        options = self.returns.options
        pieces = [b"* ESEARCH (TAG %b)" % write.string(raw_tag)]
        if is_uid:
            pieces.append(b"UID")
        if self.rows:
            if "MIN" in options:
                pieces.append(b"MIN %d" % self.rows[0][column])
            if "MAX" in options:
                pieces.append(b"MAX %d" % self.rows[-1][column])
            if "ALL" in options:
                pieces.append(b"ALL " + write.number_set([row[column] for row in self.rows]))
        if "COUNT" in options:
            pieces.append(b"COUNT %d" % len(self.rows))
        if self.returns.partial is not None:  # RFC 9394 3.1: NIL where no result is
            numbers = write.number_set([row[column] for row in self.told]) or b"NIL"
            pieces.append(b"PARTIAL (%b %b)" % (self.returns.partial.raw, numbers))
        if "RELEVANCY" in options:
            scores = b" ".join(b"%d" % self.scores[uid] for _, uid in self.told)
            pieces.append(b"RELEVANCY (%b)" % scores)
        if modseq:
            pieces.append(b"MODSEQ %d" % modseq)
        return b" ".join(pieces)
