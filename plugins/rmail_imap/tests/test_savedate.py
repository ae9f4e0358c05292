"""When a message was saved (RFC 8514), and how large one may be (RFC 7889)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect


async def test_the_save_date_is_not_the_internal_date(connect: Connect) -> None:
    client = await connect()
    now = datetime.now(UTC)
    early, late = (f"{now + timedelta(days):%d-%b-%Y}" for days in (-3, 3))
    await client.run(f"""
        C: a APPEND INBOX "01-Jan-2001 00:00:00 +0000" {{1+}}
        C: x
        S: a OK *
        C: b EXAMINE INBOX
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS ()] *
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 2] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: b OK *
        C: c FETCH 1 SAVEDATE
        S: * 1 FETCH (SAVEDATE "*-*-20* +0000")
        S: c OK *
        C: d SEARCH SAVEDSINCE {early} SAVEDBEFORE {late} BEFORE {early} SAVEDATESUPPORTED
        S: * SEARCH 1
        S: d OK *
        C: e SEARCH OR SAVEDON {early} SAVEDBEFORE {early}
        S: * SEARCH
        S: e OK *
        C: f COPY 1 Archive
        S: f OK *
        C: g SELECT Archive
        S: * OK [CLOSED] *
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *] *
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 2] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: g OK *
        C: h FETCH 1 (INTERNALDATE SAVEDATE)
        S: * 1 FETCH (INTERNALDATE "01-Jan-2001 00:00:00 +0000" SAVEDATE "*-*-20* +0000")
        S: h OK *
        C: i SEARCH SAVEDON x
        S: i BAD *
    """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"max_message_bytes": 2048}}])
async def test_the_largest_message_is_told_and_kept_to(client: Transcript) -> None:
    await client.run("""
        C: a STATUS INBOX (APPENDLIMIT MESSAGES)
        S: * STATUS "INBOX" (APPENDLIMIT 2048 MESSAGES 0)
        S: a OK *
        C: b LIST "" INBOX RETURN (STATUS (APPENDLIMIT))
        S: * LIST () "/" "INBOX"
        S: * STATUS "INBOX" (APPENDLIMIT 2048)
        S: b OK *
        C: c APPEND INBOX {2049}
        S: c NO [TOOBIG] *
    """)
