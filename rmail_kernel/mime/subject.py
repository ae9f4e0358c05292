"""The base subject of a message, by which threads are gathered and mailboxes sorted: without "Re:",
"[list]", "(fwd)" and the like. Linear in the length of the subject.

RFC 5256 2.1 (the steps), 5 (the grammar of what is removed).
"""

import re
from typing import Final

MAX_SUBJECT_CHARS: Final = 2000
"""Characters of a subject that are looked at."""

_BLOB: Final = r"\[[^\[\]]*+\] *+"
_BLOB_AT: Final = re.compile(_BLOB)
_REFWD_AT: Final = re.compile(rf"(?:re|fwd?) *+(?:{_BLOB})?+:", re.IGNORECASE)
_TRAILER: Final = "(fwd)"
_FORWARDED: Final = "[fwd:"


def base_subject(subject: str) -> tuple[str, bool]:
    """The base subject of a decoded subject, and whether what was removed tells of a reply or a
    forward.

    Args:
        subject: without encoded words (step 1 is done but for the white space).
    """
    text = " ".join(subject[:MAX_SUBJECT_CHARS].split())
    is_reply = False
    while True:
        text, is_trailed = _without_trailers(text)
        text, is_led = _without_leaders(text)
        is_reply = is_reply or is_trailed or is_led
        # Step 6: "[fwd: subject]"
        if not (text[: len(_FORWARDED)].lower() == _FORWARDED and text.endswith("]")):
            return text, is_reply
        text, is_reply = text[len(_FORWARDED) : -1], True


def _without_trailers(text: str) -> tuple[str, bool]:
    """Step 2."""
    end, is_found = len(text.rstrip(" ")), False
    while text[max(end - len(_TRAILER), 0) : end].lower() == _TRAILER:
        end -= len(_TRAILER)
        while end and text[end - 1] == " ":
            end -= 1
        is_found = True
    return text[:end], is_found


def _without_leaders(text: str) -> tuple[str, bool]:
    """Steps 3 to 5."""
    start, is_found = 0, False
    while True:
        while text[start : start + 1] == " ":
            start += 1
        refwd = _REFWD_AT.match(text, start)
        blob = None if refwd else _BLOB_AT.match(text, start)
        if refwd is not None:
            start, is_found = refwd.end(), True
        elif blob is not None and blob.end() < len(text):
            start = blob.end()
        else:
            return text[start:], is_found  # a blob that is all there is stays
