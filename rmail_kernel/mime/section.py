"""Which bytes a FETCH section names: byte ranges out of the stored structure, without looking at
the message.

RFC 9051 6.4.5.1 and RFC 3501 6.4.5.
"""

from typing import Literal

import msgspec

from rmail_kernel.mime.structure import Part

SectionKind = Literal["", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"]


class Section(msgspec.Struct, frozen=True):
    """A section: `part` numbers from 1 on, what of that part, and the field names that a
    HEADER.FIELDS asks for.
    """

    part: tuple[int, ...] = ()
    kind: SectionKind = ""
    fields: tuple[bytes, ...] = ()


def locate(root: Part, section: Section) -> tuple[int, int] | None:
    """The byte range [start, end) of `section` in the message with the structure `root`, None if
    it has no such part.

    For HEADER.FIELDS and HEADER.FIELDS.NOT it is the range of the whole header, which
    `field_block` then filters.
    """
    if not section.part:
        return None if section.kind == "MIME" else _of_message(root, section.kind)
    part = find_part(root, section.part)
    if part is None:
        return None
    if section.kind == "":
        return part.body_range
    if section.kind == "MIME":
        return part.header_range
    # HEADER and TEXT of a numbered part are those of the message that it holds.
    return (
        _of_message(part.children[0], section.kind) if part.is_message and part.children else None
    )


def _of_message(root: Part, kind: SectionKind) -> tuple[int, int]:
    if kind == "":
        return root.header_start, root.body_end
    return root.body_range if kind == "TEXT" else root.header_range


def find_part(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part that `numbers` name, None if there is none or `numbers` is empty.

    Part 1 of a message that is no multipart is its body; numbers after an embedded message count
    inside it.
    """
    found: Part | None = None
    choices = _parts_of_message(root)
    for number in numbers:
        if not 1 <= number <= len(choices):
            return None
        found = choices[number - 1]
        if found.is_message and found.children:
            choices = _parts_of_message(found.children[0])
        else:
            choices = found.numbered
    return found


def _parts_of_message(root: Part) -> tuple[Part, ...]:
    return root.numbered if root.is_multipart else (root,)
