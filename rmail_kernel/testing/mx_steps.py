"""What a fake mail exchanger can do instead of answering as it should."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """Says `text` as it is, if any, and closes."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Hang:
    """Says nothing more and keeps the connection open."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Says these bytes as they are and goes on."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Endless:
    """Says these bytes again and again until the peer leaves."""

    raw: bytes = b"250-and so on\r\n"


@dataclass(frozen=True, slots=True)
class Take:
    """Takes the message, keeps it, and closes without a word: the answer is lost."""


Step = Drop | Hang | Raw | Endless | Take
Reply = Step | str | None
