"""An IMAP command that counts unread messages, and a FETCH item that tells a day of the week."""

from collections.abc import Sequence

from rmail_imap.extensions import Command, Extension, FetchItem, Session, State, no_arguments, write

from rmail_kernel import hookimpl
from rmail_kernel.storage.mail import Fetched


async def count_unread(session: Session, _: None) -> None:
    """Tells how many messages of all mailboxes lack \\Seen."""
    mailboxes = await session.mail.mailboxes(session.account)
    session.write(b"* X-UNREAD %d\r\n" % sum(mailbox.unseen for mailbox in mailboxes))


def weekdays(messages: Sequence[Fetched]) -> list[bytes]:
    """The days on which messages arrived."""
    return [write.string(f"{message.internal_date:%a}".encode()) for message in messages]


class UnreadTotal:
    """Both under one capability, X-UNREAD."""

    name = "unread_total"

    @hookimpl
    def register_imap_extensions(self) -> list[Extension]:
        return [
            Command(
                "X-UNREAD",
                no_arguments,
                count_unread,
                state=State.AUTHENTICATED,
                capability="X-UNREAD",
            ),
            FetchItem("X-WEEKDAY", weekdays, capability="X-UNREAD"),
        ]
