"""SORT and UID SORT (RFC 5256 3), with RETURN (RFC 5267 3), display names (RFC 5957) and relevancy
(RFC 6203 6). Others run while many messages are sorted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final

from rmail_imap.collation import collation_key
from rmail_imap.command.search import (
    emptied_by_no,
    list_pieces,
    told_modseq,
    write_pieces,
    write_results,
)
from rmail_imap.commands import Reply, command, feature
from rmail_imap.ordering import AT_ONCE, ordered, ranks
from rmail_imap.parse.sort import Criterion, SortArgs, sort_args
from rmail_imap.results import Row
from rmail_imap.searching import find, scores
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.mime import MessageKeys
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Fetched, Field
from rmail_kernel.turns import Pace

feature("ESORT", "5267 3.1")
feature("SORT=DISPLAY", "5957 3")

_OF_ROW: Final[dict[str, Callable[[Fetched], float]]] = {
    "ARRIVAL": lambda row: row.internal_date.timestamp(),
    "SIZE": lambda row: row.size_bytes,
}
_OF_KEYS: Final[dict[str, Callable[[MessageKeys], Any]]] = {
    "CC": lambda keys: collation_key(keys.cc_mailbox),
    "DATE": lambda keys: keys.sent_at.timestamp(),
    "DISPLAYFROM": lambda keys: collation_key(keys.from_name),
    "DISPLAYTO": lambda keys: collation_key(keys.to_name),
    "FROM": lambda keys: collation_key(keys.from_mailbox),
    "SUBJECT": lambda keys: collation_key(keys.base_subject),
    "TO": lambda keys: collation_key(keys.to_mailbox),
}


@command(
    "SORT",
    sort_args,
    state=State.SELECTED,
    uid=True,
    capability="SORT",
    tells_expunge=False,
    rfc="5256 3",
)
async def sort(session: Session, args: SortArgs) -> Reply:
    """The messages that match, in the order asked for."""
    search = args.search
    reply = Reply(holds_expunges=search.has_numbers)  # as with SEARCH
    with emptied_by_no(session.mailbox, search):
        if search.returns is not None:
            rows = await _sorted(session, args, await find(session, search))
            await write_results(session, search, search.returns, rows)
            return reply
        pieces = await _ordered(session, args)
    session.write(b"* SORT")
    await write_pieces(session, pieces)
    return reply


async def _ordered(session: Session, args: SortArgs) -> list[bytes]:
    rows = await _sorted(session, args, await find(session, args.search))
    uids = sorted(Uid(uid) for _, uid in rows) if args.search.has_modseq else []
    modseq = await told_modseq(session, args.search, uids)
    return await list_pieces([row[args.search.is_uid] for row in rows], modseq)


async def _sorted(session: Session, args: SortArgs, rows: Sequence[Row]) -> list[Row]:
    """The rows, without those that vanished meanwhile, in order."""
    numbers = {uid: number for number, uid in rows}
    found: list[Row] = []
    columns: list[list[Any]] = [[] for _ in args.criteria]
    of_uid: dict[int, int] = {}
    if any(criterion.name == "RELEVANCY" for criterion in args.criteria):
        of_uid = await scores(session, args.search, list(numbers))
    async for batch in batches(session, list(numbers), _fields(args.criteria)):
        found += [(numbers[message.uid], message.uid) for message in batch]
        for place, criterion in enumerate(args.criteria):
            columns[place] += _values(criterion.name, batch, of_uid)
    order = partial(_order, columns, args.criteria)
    indices = order() if len(found) <= AT_ONCE else await session.kernel.run(order)
    return [found[index] for index in indices]


def _order(columns: list[list[Any]], criteria: Sequence[Criterion]) -> list[int]:
    for place, criterion in enumerate(criteria):
        if criterion.is_reverse:
            columns[place] = _reversed(columns[place])
    return ordered(zip(*columns, strict=True))


def _reversed(column: Sequence[Any]) -> list[Any]:
    """Values that ascend where those of the column descend."""
    if column and not isinstance(column[0], str):
        return [-value for value in column]
    places = ranks(column)
    return [-places[value] for value in column]


async def batches(
    session: Session, uids: Sequence[int], fields: Field
) -> AsyncIterator[list[Fetched]]:
    """The messages as the store gives them, others running in between."""
    fetched = session.mail.fetch(
        session.account, session.mailbox.id, [Uid(uid) for uid in uids], fields
    )
    pace = Pace()
    async for batch in fetched:
        yield batch
        await pace.breathe()


def _fields(criteria: Sequence[Criterion]) -> Field:
    return Field.KEYS if any(one.name in _OF_KEYS for one in criteria) else Field.NONE


def _values(name: str, batch: Sequence[Fetched], of_uid: dict[int, int]) -> list[Any]:
    if name == "RELEVANCY":  # RFC 6203 6: the highest score first
        return [-of_uid[message.uid] for message in batch]
    of_row = _OF_ROW.get(name)
    if of_row is not None:
        return [of_row(message) for message in batch]
    of_keys = _OF_KEYS[name]
    return [of_keys(message.keys) for message in batch if message.keys is not None]
