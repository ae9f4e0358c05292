"""What widespread IMAP clients send when they start, command by command, and what they need back.

Each program is a table: a command as that client words it, and patterns that must be found in
the untagged lines before the tagged OK; lines that go out together stand in one. `{new}` is the
UID of the newest message.
"""

from __future__ import annotations

import base64
import re
from typing import Final

import pytest

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing import RunningServer, Transcript

ACCOUNT = AccountId("alice@example.com")
PLAIN: Final = base64.b64encode(b"\0alice@example.com\0secret").decode()
MESSAGE: Final = (
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: alice@example.com\r\n"
    b"Subject: Report\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <r1@example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the file.\r\n"
    b"--b\r\nContent-Type: application/pdf; name=r.pdf\r\n"
    b"Content-Disposition: attachment; filename=r.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"JVBERi0=\r\n--b--\r\n"
)
Step = tuple[str, tuple[str, ...]]

_FIELDS = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups"
THUNDERBIRD: Final[tuple[Step, ...]] = (
    ("capability", (r"\* CAPABILITY IMAP4rev1 .*IDLE.*",)),
    (f"authenticate PLAIN {PLAIN}", ()),
    ('ID ("name" "Thunderbird" "version" "128.5.0")', (r"\* ID \(.*",)),
    ("ENABLE UTF8=ACCEPT", (r"\* ENABLED UTF8=ACCEPT",)),
    ("namespace", (r'\* NAMESPACE \(\("" "/"\)\) NIL NIL',)),
    ("enable condstore", (r"\* ENABLED CONDSTORE",)),
    ('list (subscribed) "" "*" return (special-use)', (r'\* LIST \(.*\) "/" "?INBOX"?',)),
    ('list "" "INBOX"', (r"\* LIST .*INBOX",)),
    ('select "INBOX" (CONDSTORE)', (r"\* 3 EXISTS", r"\* OK \[HIGHESTMODSEQ \d+\].*")),
    ("getquotaroot INBOX", (r"\* QUOTAROOT .*",)),
    ("UID fetch 1:* (FLAGS)", (r"\* 3 FETCH \(UID {new} FLAGS \(.*\)\)",)),
    ("UID fetch 1:* (FLAGS) (CHANGEDSINCE 1)", (r"\* 3 FETCH \(UID {new} FLAGS .*MODSEQ.*",)),
    (
        f"UID fetch {{new}} (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({_FIELDS} "
        "In-Reply-To Content-Type Reply-To)])",
        (r"\* 3 FETCH \(UID {new} .*RFC822\.SIZE \d+ .*HEADER\.FIELDS.*\{\d+\}",),
    ),
    ("UID fetch {new} (UID RFC822.SIZE BODY.PEEK[])", (r"Subject: Report", r"JVBERi0=")),
    ("uid store {new} +Flags (\\Seen)", (r"\* 3 FETCH .*\\Seen.*",)),
    ("uid store {new} +Flags ($label1 NonJunk)", ()),
    ("noop", ()),
    ("close", ()),
    ("logout", (r"\* BYE.*",)),
)
APPLE_MAIL: Final[tuple[Step, ...]] = (
    ("CAPABILITY", (r"\* CAPABILITY .*",)),
    (f"AUTHENTICATE PLAIN {PLAIN}", ()),
    (
        'ID ("name" "macOS Mail" "version" "16.0 (3774)" "os" "macOS" "os-version" "14.5" '
        '"vendor" "Apple Inc.")',
        (r"\* ID .*",),
    ),
    ("ENABLE CONDSTORE", (r"\* ENABLED CONDSTORE",)),
    ("NAMESPACE", (r"\* NAMESPACE .*",)),
    ('LIST "" ""', (r'\* LIST \(\\Noselect\) "/" ""',)),
    ('LIST "" "*" RETURN (SPECIAL-USE)', (r"\* LIST \(.*\\Sent.*\) .*Sent.*",)),
    ('LSUB "" "*"', ()),
    (
        "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)",
        (r"\* STATUS .*MESSAGES 3.*HIGHESTMODSEQ \d+.*",),
    ),
    ("SELECT INBOX (CONDSTORE)", (r"\* OK \[UIDNEXT \d+\].*", r"\* OK \[HIGHESTMODSEQ \d+\].*")),
    ("UID SEARCH RETURN (ALL) UID 1:* NOT DELETED", (r"\* ESEARCH .*UID ALL 1:3",)),
    ("FETCH 1:* (FLAGS UID MODSEQ)", (r"\* 3 FETCH \(FLAGS .*UID {new} MODSEQ \(\d+\)\)",)),
    (
        "UID FETCH {new} (INTERNALDATE UID RFC822.SIZE FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (date "
        "subject from to cc message-id in-reply-to references content-type x-priority "
        "x-uniform-type-identifier x-universally-unique-identifier list-id list-unsubscribe)])",
        (r'\* 3 FETCH \(INTERNALDATE "[^"]+" UID {new} .*',),
    ),
    ("UID FETCH {new} (BODYSTRUCTURE UID)", (r'.*BODYSTRUCTURE \(\("text" "plain".*"pdf".*',)),
    ("UID FETCH {new} (BODY.PEEK[HEADER] BODY.PEEK[1] UID)", (r"See the file\..*",)),
    ("UID FETCH {new} (BODY.PEEK[2]<0.4> UID)", (r".*BODY\[2\]<0> \{4\}", r"JVBE.*")),
    ("UID STORE {new} +FLAGS.SILENT (\\Seen $NotJunk)", ()),
    ("UID COPY {new} Archive", ()),
    ("LOGOUT", (r"\* BYE.*",)),
)
IOS_MAIL: Final[tuple[Step, ...]] = (
    (f"AUTHENTICATE PLAIN {PLAIN}", ()),
    (
        'ID ("name" "com.apple.email.maild" "version" "3818.100.11.2.3" "os" "iOS" "os-version" '
        '"18.0 (22A3354)" "vendor" "Apple Inc")',
        (r"\* ID .*",),
    ),
    (
        'NAMESPACE\nLIST "" "*" RETURN (SPECIAL-USE)',
        (r"\* NAMESPACE .*", r"\* LIST \(.*\\Trash.*\) .*", r'\* LIST \(.*\) "/" "?INBOX"?'),
    ),
    ('SELECT "INBOX" (CONDSTORE)', (r"\* 3 EXISTS", r"\* OK \[HIGHESTMODSEQ \d+\].*")),
    ("FETCH 1:3 (FLAGS UID)", (r"\* 3 FETCH \(FLAGS \(.*\) UID {new}.*",)),
    ("UID FETCH {new} (BODYSTRUCTURE BODY.PEEK[HEADER])", (r".*BODYSTRUCTURE .*",)),
    ("LOGOUT", (r"\* BYE.*",)),
)
OUTLOOK: Final[tuple[Step, ...]] = (
    ("CAPABILITY", (r"\* CAPABILITY .*",)),
    ("LOGIN alice@example.com secret", ()),
    ('ID ("name" "Microsoft Outlook" "version" "16.0")', (r"\* ID .*",)),
    ('LIST "" ""', (r"\* LIST .*",)),
    ('LIST "" "INBOX"', (r"\* LIST .*INBOX.*",)),
    ('LSUB "" "*"', ()),
    ('LIST "" "*"', (r"\* LIST .*Drafts.*",)),
    ('STATUS "INBOX" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)', (r"\* STATUS .*UNSEEN 3.*",)),
    ('SELECT "INBOX"', (r"\* 3 EXISTS", r"\* OK \[UIDVALIDITY \d+\].*")),
    ("UID SEARCH 1:* SINCE 1-Jan-2020", (r"\* SEARCH 1 2 3",)),
    ("UID FETCH 1:* (UID FLAGS)", (r"\* 3 FETCH \(UID {new} FLAGS .*",)),
    (
        "UID FETCH {new} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE "
        "BODY.PEEK[HEADER.FIELDS (Importance X-Priority X-MSMail-Priority References)])",
        (r'\* 3 FETCH .*ENVELOPE \("Sat, 21 Nov 2026 .*"<r1@example\.org>".*',),
    ),
    ("UID FETCH {new} (UID RFC822.HEADER)", (r"Subject: Report",)),
    (
        "UID fetch {new} (UID RFC822.SIZE RFC822.peek)",
        (r"\* 3 FETCH \(UID {new} RFC822\.SIZE \d+ RFC822 \{\d+\}", r"JVBERi0="),
    ),
    ("UID SEARCH UNSEEN", (r"\* SEARCH 1 2 3",)),
    ("UID FETCH {new} (BODY.PEEK[1] BODY.PEEK[2])", (r"JVBERi0=.*",)),
    ("UID STORE {new} +FLAGS (\\Seen \\Deleted)", (r"\* 3 FETCH .*\\Deleted.*",)),
    ("UID EXPUNGE {new}", (r"\* 3 EXPUNGE",)),
    ("LOGOUT", (r"\* BYE.*",)),
)
K9: Final[tuple[Step, ...]] = (
    ("CAPABILITY", (r"\* CAPABILITY .*",)),
    (f"AUTHENTICATE PLAIN {PLAIN}", ()),
    ('ID ("name" "K-9 Mail" "version" "6.806")', (r"\* ID .*",)),
    ("NAMESPACE", (r"\* NAMESPACE .*",)),
    ('LIST "" "*" RETURN (SUBSCRIBED SPECIAL-USE)', (r"\* LIST \(.*\\Trash.*",)),
    ('EXAMINE "INBOX"', (r"\* OK \[PERMANENTFLAGS \(\)\].*",)),
    ("NOOP", ()),
    ('SELECT "INBOX"', (r"\* OK \[UIDNEXT \d+\].*",)),
    ("UID SEARCH 1:* NOT DELETED", (r"\* SEARCH 1 2 3",)),
    (
        "UID FETCH 1,2,{new} (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (date "
        "subject from content-type to cc reply-to message-id references in-reply-to "
        "list-unsubscribe sender X-K9mail-Identity Chat-Version)])",
        (r"\* 1 FETCH .*", r"\* 3 FETCH .*"),
    ),
    ("UID FETCH {new} (UID BODYSTRUCTURE)", (r".*BODYSTRUCTURE .*",)),
    ("UID FETCH {new} (UID BODY.PEEK[1.MIME] BODY.PEEK[1])", (r"Content-Type: text/plain.*",)),
    ("UID FETCH {new} (UID BODY.PEEK[TEXT]<0.32768>)", (r".*BODY\[TEXT\]<0> \{\d+\}",)),
    ("UID STORE {new} +FLAGS.SILENT (\\Flagged)", ()),
    ('UID MOVE {new} "Trash"', (r"\* OK \[COPYUID \d+ {new} 1\].*", r"\* 3 EXPUNGE")),
    ("LOGOUT", (r"\* BYE.*",)),
)
PROGRAMS: Final = {
    "Thunderbird": THUNDERBIRD,
    "Apple Mail": APPLE_MAIL,
    "iOS Mail": IOS_MAIL,
    "Outlook": OUTLOOK,
    "K-9": K9,
}


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap"]


@pytest.mark.parametrize("client", PROGRAMS)
async def test_start_up(rmail_server: RunningServer, client: str) -> None:
    for _ in range(3):
        await rmail_server.deliver(MESSAGE, ACCOUNT)
    async with Transcript("127.0.0.1", rmail_server.ports["imap"]) as imap:
        await imap.expect("* OK *")
        for number, (command, patterns) in enumerate(PROGRAMS[client]):
            lines = [
                f"{number}.{place} {line}\r\n"
                for place, line in enumerate(command.replace("{new}", "3").split("\n"))
            ]
            await imap.send("".join(lines).encode())
            untagged = []
            for line in lines:
                tag = line.split(" ")[0]
                *found, answer = await imap.until(f"{tag} *")
                assert answer.startswith(f"{tag} OK"), (line, answer)
                untagged += found
            for pattern in patterns:
                expression = pattern.replace("{new}", "3")
                assert any(re.search(expression, line) for line in untagged), (command, untagged)


async def test_a_phone_that_waits_hears_of_mail_at_once(rmail_server: RunningServer) -> None:
    async with Transcript("127.0.0.1", rmail_server.ports["imap"]) as imap:
        await imap.run("""
            S: * OK *
            C: 1 LOGIN alice@example.com secret
            S: 1 OK *
        """)
        await imap.send(b"2 SELECT INBOX\r\n")
        await imap.until("2 OK *")
        await imap.run("""
            C: 3 IDLE
            S: + *
        """)
        await rmail_server.deliver(MESSAGE, ACCOUNT)
        await imap.run("""
            S: * 1 EXISTS
            S: * 1 RECENT
            C: DONE
            S: 3 OK *
        """)
