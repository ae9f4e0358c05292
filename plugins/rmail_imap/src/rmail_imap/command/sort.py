"""SORT and UID SORT (RFC 5256 3), with RETURN (RFC 5267 3), display names (RFC 5957) and relevancy
(RFC 6203 6). Others run while many messages are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from rmail_imap.command.search import emptied_by_no, find_and_tell, give
from rmail_imap.commands import Reply, command, feature
from rmail_imap.long_work import beside, in_turn, is_long
from rmail_imap.ordering import ordered
from rmail_imap.parse.sort import SortArgs, sort_args
from rmail_imap.searching import Found, find, located, scores
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.storage.mail import Column

feature("ESORT", "5267 3.1")
feature("SORT=DISPLAY", "5957 3")

COLUMNS: Final = {
    "ARRIVAL": Column.ARRIVAL,
    "CC": Column.CC,
    "DATE": Column.SENT,
    "DISPLAYFROM": Column.FROM_NAME,
    "DISPLAYTO": Column.TO_NAME,
    "FROM": Column.FROM,
    "SIZE": Column.SIZE,
    "SUBJECT": Column.SUBJECT,
    "TO": Column.TO,
}
"""What the criteria compare; RELEVANCY is not among them."""


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
        finding = partial(_sorted, session, args)
        making = partial(find_and_tell, session, search, search.returns, b"SORT", finding)
        long = is_long(session, search, is_ordered=True)
        answer = await in_turn(session, making, is_long=long)
    await give(session, search, answer)
    return reply


async def _sorted(session: Session, args: SortArgs) -> Found:
    """The messages, without those that vanished meanwhile, in order."""
    found = await find(session, args.search)
    names = {one.name for one in args.criteria}
    wanted = [column for name, column in COLUMNS.items() if name in names]
    columns = await session.mail.columns(session.account, session.mailbox.id, found.uids, wanted)
    values = dict(zip(wanted, columns.values, strict=True))
    relevancy: list[int] = []
    if "RELEVANCY" in names:  # RFC 6203 6: the highest score first
        of_uid = await scores(session, args.search, list(columns.uids))
        relevancy = [-of_uid[uid] for uid in columns.uids]
    by = [
        (values[COLUMNS[one.name]] if one.name in COLUMNS else relevancy, one.is_reverse)
        for one in args.criteria
    ]
    return await beside(
        session, len(columns.uids), partial(_in_order, session.mailbox, args, columns.uids, by)
    )


def _in_order(
    selected: Selected,
    args: SortArgs,
    uids: Sequence[int],
    by: Sequence[tuple[Sequence[Any], bool]],
) -> Found:
    ascending = located(selected, uids, args.search.is_uid)
    places = ordered(by)
    uids = [ascending.uids[place] for place in places]
    if args.search.is_uid:
        return Found(uids, uids, ascending.uids)
    return Found(uids, [ascending.names[place] for place in places], ascending.uids)
