"""The results of SEARCH and SORT: the ESEARCH response, and what `$` stands for afterwards.

RFC 4731 3.1, RFC 5182 2.1, RFC 5267 3.1, RFC 6203 4, RFC 9394 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.parse.returns import Returns
from rmail_imap.searching import Found


@dataclass(frozen=True, slots=True)
class Results:
    """What was found, in the order asked for.

    Attributes:
        scores: how well a UID matches, 1 to 100; empty unless asked for.
    """

    found: Found
    returns: Returns
    scores: Mapping[int, int]

    def told(self, of: Sequence[int]) -> Sequence[int]:
        """Those that RELEVANCY speaks of: those of PARTIAL, otherwise all."""
        partial = self.returns.partial
        return of if partial is None else partial.cut(of)

    def of_response(self) -> Sequence[int]:
        """The messages that the response is about, ascending: with MIN, MAX and PARTIAL alone no
        others. They are what `$` stands for (RFC 5182 2.4, RFC 9394 3.2) and whose MODSEQ is told
        (RFC 7162 3.1.10).
        """
        options, uids = self.returns.options, self.found.uids
        if not options & {"MIN", "MAX", "PARTIAL"} or options & {"ALL", "COUNT"}:
            return self.found.ascending
        wanted = set(self.told(uids)) if "PARTIAL" in options else set()
        if "MIN" in options:
            wanted.update(uids[:1])
        if "MAX" in options:
            wanted.update(uids[-1:])
        return sorted(wanted)

    def response(self, raw_tag: bytes, *, is_uid: bool, modseq: int) -> bytes:
        """The ESEARCH response; of MIN, MAX and ALL none when nothing matched (RFC 4731 3.1).

        Args:
            modseq: the newest of the messages, 0 if it is not to be told.
        """
        options, names = self.returns.options, self.found.names
        pieces = [b"* ESEARCH (TAG %b)" % write.string(raw_tag)]
        if is_uid:
            pieces.append(b"UID")
        if names:
            if "MIN" in options:
                pieces.append(b"MIN %d" % names[0])
            if "MAX" in options:
                pieces.append(b"MAX %d" % names[-1])
            if "ALL" in options:
                pieces.append(b"ALL " + write.number_set(names))
        if "COUNT" in options:
            pieces.append(b"COUNT %d" % len(names))
        if self.returns.partial is not None:  # RFC 9394 3.1: NIL where no result is
            numbers = write.number_set(self.told(names)) or b"NIL"
            pieces.append(b"PARTIAL (%b %b)" % (self.returns.partial.raw, numbers))
        if "RELEVANCY" in options:
            scores = b" ".join(b"%d" % self.scores[uid] for uid in self.told(self.found.uids))
            pieces.append(b"RELEVANCY (%b)" % scores)
        if modseq:
            pieces.append(b"MODSEQ %d" % modseq)
        return b" ".join(pieces)
