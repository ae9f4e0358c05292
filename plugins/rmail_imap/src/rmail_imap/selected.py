"""What the client of one session believes about its mailbox: which message has which number.

RFC 3501 2.3.1.2, 7.4.1. No I/O: changes go in, and what the client must be told comes out. A
message that is gone keeps its number until the client was told.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.sets import STAR, NumberSet
from rmail_imap.ranges import merged, runs
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Changed, Changes, MailboxView, StoreResult

_FEW = 64
_NONE: Final[frozenset[int]] = frozenset()  # one for all: Python makes a new one each time
_Finder = Callable[[int], int | None]


@dataclass(slots=True)
class News:
    """What the client was not told yet."""

    flags: dict[int, tuple[int, int]] = field(default_factory=dict)  # UID -> flag word, MODSEQ
    vanished: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """Messages as parallel sequences: numbers, UIDs, flag words."""

    numbers: Sequence[int]
    uids: Sequence[int]
    words: Sequence[int]

    def among(self, wanted: Sequence[bool]) -> Known:
        """Those that are wanted."""
        columns = self.numbers, self.uids, self.words
        return Known(*(list(compress(column, wanted)) for column in columns))


class Selected:
    """A selected mailbox.

    Attributes:
        uids: array of type 'I'; message n has the UID uids[n - 1], for n up to `total`. Shared with
            the store's view until this session's numbers part from it.
        told: how many messages the client was told of; those behind came since.
        recent: UIDs that are \\Recent here (RFC 3501 2.3.2).
        keywords: the keyword table that the client was told.
        saved: the UIDs, ascending, that `$` stands for (RFC 5182 2.1).
        last_uid: the largest UID that was given to a message here, as far as this session knows.
        modseq: where the numbers stand.
        told_modseq: up to where the client was told what vanished.
        known: what the flags are that a client that understands MODSEQ was told, while that can
            be said.
    """

    def __init__(
        self, view: MailboxView, *, name: str, is_read_only: bool, recent: Iterable[int] = ()
    ) -> None:
        self.id: MailboxId = view.mailbox
        self.name = name
        self.uidvalidity = view.uidvalidity
        self.is_read_only = is_read_only
        self.uids = view.uids
        self.total = self.told = view.total
        self.modseq: ModSeq = view.modseq
        self.keywords = view.keywords
        self.recent = frozenset(recent) or _NONE  # there are very many sessions, mostly without any
        self.saved: Sequence[int] = ()
        self.news = News()
        self.told_modseq: ModSeq = view.modseq
        self.known: MailboxView | None = None
        self.last_uid = view.uidnext - 1
        self._own = _NONE
        self._is_shared = True

    # --- numbers

    def number_of(self, uid: int) -> int | None:
        """The sequence number of a UID."""
        index = bisect_left(self.uids, uid, 0, self.total)
        return index + 1 if index < self.total and self.uids[index] == uid else None

    def numbered(self, uids: Sequence[int]) -> list[tuple[int, int]]:
        """Number and UID of those of the ascending `uids` that the client knows."""
        return [*zip(*self.placed(uids), strict=True)]

    def numbers_of(self, uids: Sequence[int]) -> Sequence[int]:
        """The numbers of those of the ascending `uids` that the client knows."""
        return self.placed(uids)[0]

    def placed(self, uids: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """The numbers of those of the ascending `uids` that the client knows, and these."""
        if self._is_all(uids):
            return range(1, self.told + 1), uids
        if self.told and self.uids[self.told - 1] - self.uids[0] == self.told - 1:  # without gaps
            before = self.uids[0] - 1
            known = uids[bisect_right(uids, before) : bisect_right(uids, before + self.told)]
            return [*map((-before).__add__, known)], known
        if len(uids) * 8 < self.total:
            found = ((self.number_of(uid), uid) for uid in uids)
            pairs = [(number, uid) for number, uid in found if number and number <= self.told]
            return [number for number, _ in pairs], [uid for _, uid in pairs]
        are_wanted = [*map(set(uids).__contains__, self.uids[: self.told])]
        numbers = [*compress(range(1, self.told + 1), are_wanted)]
        return numbers, [*compress(self.uids, are_wanted)]

    def _is_all(self, uids: Sequence[int]) -> bool:
        return len(uids) == self.told and array("I", uids) == self.uids[: self.told]

    def resolve(self, numbers: NumberSet, *, is_search: bool = False) -> list[range]:
        """The places (numbers less one) that a set names, ascending, without overlap.

        Args:
            is_search: a sequence number that no message has is no error, it just matches nothing.

        Raises:
            BadSyntax: a sequence number that no message has (RFC 3501 6.4.8 spares UIDs of that).
        """
        if not (numbers.is_uid or is_search):
            self._check(numbers)
        pairs = [found for pair in numbers.ranges if (found := self._numbered(pair, numbers))]
        if numbers.is_saved:  # RFC 5182 2.1: what was expunged meanwhile is left out
            pairs += runs(self.numbers_of(self.saved))
        return [range(first - 1, last) for first, last in merged(pairs)]

    def named_uids(self, numbers: NumberSet) -> list[tuple[int, int]]:
        """What a set of UIDs names, whether there are such messages or not, as ranges."""
        saved = [*runs(self.saved)] if numbers.is_saved else []
        last = self.uids[self.told - 1] if self.told else 0
        return merged([*((low or last, high or last) for low, high in numbers.ranges), *saved])

    def uids_at(self, places: Sequence[range]) -> list[Uid]:
        """The UIDs at these places."""
        found: list[Uid] = []
        for span in places:
            found += self.uids[span.start : span.stop]  # type: ignore[arg-type] # ints are Uids here
        return found

    def known_at(self, places: Sequence[range], view: MailboxView, most: int) -> Iterator[Known]:
        """The messages there that `view` still has, at most about `most` at a time."""
        self._rejoin(view)
        if self.uids is view.uids:
            for spans in _grouped(places, most):
                numbers: list[int] = []
                uids, words = array("I"), array(view.flags.typecode)
                for span in spans:
                    numbers += range(span.start + 1, span.stop + 1)
                    uids += self.uids[span.start : span.stop]
                    words += view.flags[span.start : span.stop]
                yield Known(numbers, uids, words)
            return
        find = self._few(view) if sum(map(len, places)) < _FEW else self._many(view)
        for spans in _grouped(places, most):
            found = [
                (place + 1, uid, word)
                for span in spans
                for place, uid in zip(span, self.uids[span.start : span.stop], strict=True)
                if (word := find(uid)) is not None
            ]
            if found:
                yield Known(*map(list, zip(*found, strict=True)))

    # --- changes

    def take(self, changes: Changes, view: MailboxView | None = None) -> None:
        """Takes what happened since `modseq`. `view` is needed where the changes are truncated."""
        news = self.news
        fresh = [row for row in changes.changed if row.uid > self.last_uid]
        for row in changes.changed:
            # What the client did itself is news only on top of what it does not know yet.
            is_news = row.modseq not in self._own or row.uid in news.flags
            if row.uid <= self.last_uid and is_news:
                news.flags[row.uid] = row.flags, row.modseq
        self._append(fresh)
        gone: Iterable[int] = changes.vanished
        if changes.is_truncated and view is not None:
            gone = set(self.uids[: self.total]).difference(view.uids[: view.total])
        news.vanished |= {uid for uid in gone if self.number_of(uid) is not None}
        self.last_uid = max(self.last_uid, changes.uidnext - 1)
        self.modseq = changes.upto
        if not news.vanished:
            self.told_modseq = changes.upto
        self._own = frozenset(modseq for modseq in self._own if modseq > changes.upto)

    def mark_own(self, result: StoreResult) -> None:
        """The client knows this change: it made it. Without rows the MODSEQ is another's."""
        if result.changed:
            self._own |= {result.modseq}

    @property
    def holds_expunges(self) -> bool:
        """Whether messages are gone that the client still counts."""
        return bool(self.news.vanished)

    def take_expunges(self) -> list[tuple[int, int]]:
        """Forgets what vanished. Number and UID of what is to be announced; the numbers count
        down, so that none shifts another (RFC 3501 7.4.1).
        """
        self.told_modseq = self.modseq
        gone = self.news.vanished
        if not gone:
            return []
        pairs = sorted(((n, uid) for uid in gone if (n := self.number_of(uid))), reverse=True)
        self._own_copy()
        if len(pairs) < _FEW:
            for number, _ in pairs:
                del self.uids[number - 1]
        else:
            self.uids = array("I", (uid for uid in self.uids if uid not in gone))
        self.total = len(self.uids)
        known = [pair for pair in pairs if pair[0] <= self.told]
        self.told -= len(known)
        self.recent -= gone
        for uid in gone:
            self.news.flags.pop(uid, None)
        self.news.vanished = frozenset()
        return known

    def take_flags(self) -> list[tuple[int, int, int, int]]:
        """Number, UID, flag word and MODSEQ of the messages whose flags changed, ascending."""
        flags, self.news.flags = self.news.flags, {}
        gone = self.news.vanished
        rows = ((self.number_of(uid), uid, *flags[uid]) for uid in sorted(flags) if uid not in gone)
        return [(row[0], *row[1:]) for row in rows if row[0] is not None]

    def forget_news(self, uid: int, modseq: int) -> None:
        """The client has just been told the flags of a message, as they are since `modseq`."""
        if self.news.flags.get(uid, (0, modseq + 1))[1] <= modseq:
            del self.news.flags[uid]

    def _append(self, fresh: Sequence[Changed]) -> None:
        if not fresh:
            return
        if self.is_read_only:
            self.recent |= {row.uid for row in fresh}
        added = array("I", (row.uid for row in fresh))
        end = self.total + len(added)
        if not (self._is_shared and self.uids[self.total : end] == added):
            self._own_copy()
            self.uids.extend(added)
        self.total = end

    def _own_copy(self) -> None:
        if self._is_shared:
            self.uids = self.uids[: self.total]
            self._is_shared = False

    def _rejoin(self, view: MailboxView) -> None:
        """Shares the view's array again where the numbers are the same."""
        if self.uids is view.uids and self.total <= view.total:
            return
        if self.total == view.total and self.uids[: self.total] == view.uids[: view.total]:
            self.uids, self._is_shared = view.uids, True

    def _numbered(self, pair: tuple[int, int], numbers: NumberSet) -> tuple[int, int] | None:
        """First and last sequence number of one range; None for nothing."""
        low, high = pair
        if numbers.is_uid:
            last = self.uids[self.told - 1] if self.told else 0
            low, high = sorted((low or last, high or last))  # `5:*` with less is `*:5`
            start = bisect_left(self.uids, low, 0, self.told)
            stop = bisect_right(self.uids, high, 0, self.told)
            return (start + 1, stop) if start < stop else None
        if not self.told and STAR in pair:
            return None  # `1:*` in an empty mailbox
        if STAR not in pair and min(pair) > self.told:
            return None
        return min(low or self.told, self.told), min(high or self.told, self.told)

    def _check(self, numbers: NumberSet) -> None:
        for pair in numbers.ranges:
            if STAR not in pair and max(pair) > self.told:
                raise BadSyntax("There is no message of that number")

    def _few(self, view: MailboxView) -> _Finder:
        def find(uid: int) -> int | None:
            index = bisect_left(view.uids, uid, 0, view.total)
            found = index < view.total and view.uids[index] == uid
            return view.flags[index] if found else None

        return find

    def _many(self, view: MailboxView) -> _Finder:
        return dict(zip(view.uids[: view.total], view.flags, strict=False)).get


def _grouped(places: Sequence[range], most: int) -> Iterator[list[range]]:
    """The places in groups of at most `most` messages."""
    group: list[range] = []
    room = most
    for span in places:
        for start in range(span.start, span.stop, most):
            piece = range(start, min(start + most, span.stop))
            if len(piece) > room:
                yield group
                group, room = [], most
            group.append(piece)
            room -= len(piece)
    if group:
        yield group
