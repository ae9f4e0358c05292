"""LIST of any form on random trees of mailboxes, compared with a model that knows nothing but what
RFC 3501 6.3.8, RFC 5258, RFC 5819 and RFC 6154 say.

RMAIL_IMAP_LIST_EXAMPLES sets how many trees there are.
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect

EXAMPLES: Final = int(os.environ.get("RMAIL_IMAP_LIST_EXAMPLES", "4"))
COMMANDS: Final = 80
WIRE: Final = {"Ä": "&AMQ-", "a&b": "a&-b"}
LEVELS: Final = ("a", "b", "ab", "ba", "INBOX", *WIRE)
PIECES: Final = (*LEVELS, "/", "/", "*", "%", "%", "", "inbox", "Inb")
USES: Final = ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")
_LIST: Final = re.compile(r'\* LIST \(([^)]*)\) "/" "([^"]*)"(?: \("CHILDINFO" \((.*)\)\))?')
_STATUS: Final = re.compile(r'\* STATUS "([^"]*)" \(MESSAGES 0\)')


@dataclass(frozen=True)
class Row:
    """What is told of one name."""

    name: str
    attributes: frozenset[str]
    child_info: frozenset[str] = frozenset()
    has_status: bool = False


@dataclass(frozen=True)
class Query:
    """One LIST; `selection` and `returns` are None where the command has no such part."""

    reference: str
    patterns: tuple[str, ...]
    selection: tuple[str, ...] | None = None
    returns: tuple[str, ...] | None = None
    has_list: bool = False

    @property
    def is_extended(self) -> bool:
        return self.selection is not None or self.returns is not None or self.has_list

    @property
    def options(self) -> frozenset[str]:
        return frozenset(self.selection or ())

    def text(self, *, is_utf8: bool) -> str:
        def wire(text: str) -> str:
            return f'"{text if is_utf8 else _wire(text)}"'

        parts = ["LIST"]
        if self.selection is not None:
            parts.append(f"({' '.join(self.selection)})")
        parts.append(wire(self.reference))
        names = " ".join(map(wire, self.patterns))
        parts.append(f"({names})" if self.has_list else names)
        if self.returns is not None:
            parts.append(f"RETURN ({' '.join(self.returns)})")
        return " ".join(parts)


@dataclass(frozen=True)
class World:
    """Mailboxes with their special uses, and subscribed names."""

    mailboxes: dict[str, str | None]
    subscribed: frozenset[str]

    def rows(self, query: Query) -> list[Row]:
        """What the server has to tell."""
        names = {*self.mailboxes, *self.subscribed}
        names |= {above for name in names for above in _parents(name)}
        found = [self._row(query, name, names) for name in names if self._is_named(query, name)]
        return [row for row in found if row is not None]

    def _is_named(self, query: Query, name: str) -> bool:
        whole = [query.reference + one for one in query.patterns if one]
        return any(_matches(one, name) for one in whole)

    def _meets(self, query: Query, name: str) -> bool:
        """The selection criteria (RFC 5258 3); without any, that there is such a mailbox."""
        if "SUBSCRIBED" in query.options and name not in self.subscribed:
            return False
        if "SPECIAL-USE" in query.options and not self.mailboxes.get(name):
            return False
        return name in self.mailboxes or "SUBSCRIBED" in query.options

    def _row(self, query: Query, name: str, names: set[str]) -> Row | None:
        meets = self._meets(query, name)
        below = [one for one in names if one.startswith(name + "/") and self._meets(query, one)]
        criteria = query.options & {"SUBSCRIBED", "SPECIAL-USE"}
        is_recursive = "RECURSIVEMATCH" in query.options
        leads = any(not self._is_named(query, one) for one in below)
        if not query.is_extended:
            leads = bool(below)  # RFC 3501 6.3.8: levels of hierarchy are told
        if not meets and not (leads and (is_recursive or not criteria)):
            return None
        info = criteria if is_recursive and below else frozenset()
        status = "STATUS (MESSAGES)" in (query.returns or ()) and meets and name in self.mailboxes
        return Row(name, frozenset(self._attributes(query, name)), info, status)

    def _attributes(self, query: Query, name: str) -> list[str]:
        found = []
        if name not in self.mailboxes:
            found.append("\\NonExistent" if query.is_extended else "\\Noselect")
        if name in self.subscribed and "SUBSCRIBED" in query.options | set(query.returns or ()):
            found.append("\\Subscribed")
        has_children = any(one.startswith(name + "/") for one in self.mailboxes)
        is_said = name not in self.mailboxes and has_children  # RFC 5258 3.5
        if not query.is_extended or "CHILDREN" in (query.returns or ()) or is_said:
            found.append("\\HasChildren" if has_children else "\\HasNoChildren")
        use = self.mailboxes.get(name)
        return [*found, use] if use else found


def _wire(text: str) -> str:
    for name, wire in WIRE.items():
        text = text.replace(name, wire)
    return text


def _parents(name: str) -> list[str]:
    levels = name.split("/")
    return ["/".join(levels[:count]) for count in range(1, len(levels))]


def _matches(pattern: str, name: str) -> bool:
    """RFC 3501 6.3.8, character by character."""
    if name == "INBOX" or name.startswith("INBOX/"):
        head, slash, rest = pattern.partition("/")
        start, star, end = head.partition("*")
        bare = name == "INBOX"
        pattern = start.upper() + star + (end.upper() if bare else end) + slash + rest
    places = {0}
    for character in pattern:
        if character in "*%":
            reached = set(places)
            for place in places:
                stop = len(name) if character == "*" else (name + "/").index("/", place)
                reached.update(range(place, stop + 1))
            places = reached
        else:
            places = {place + 1 for place in places if name[place : place + 1] == character}
    return len(name) in places


def _name(dice: random.Random) -> str:
    return "/".join(dice.choice(LEVELS) for _ in range(dice.randint(1, 3)))


def _pattern(dice: random.Random) -> str:
    if dice.random() < 0.3:
        return dice.choice(["*", "%", "%/%", "a/%", "*/b", "%b", ""])
    return "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 5)))


def _query(dice: random.Random) -> Query:
    def some(*options: str) -> tuple[str, ...]:
        return tuple(one for one in options if dice.random() < 0.5)

    selection = returns = None
    if dice.random() < 0.6:
        selection = some("REMOTE", "SUBSCRIBED", "SPECIAL-USE")
        if {"SUBSCRIBED", "SPECIAL-USE"}.intersection(selection) and dice.random() < 0.6:
            selection = (*selection, "RECURSIVEMATCH")
    if dice.random() < 0.6:
        returns = some("SUBSCRIBED", "CHILDREN", "STATUS (MESSAGES)", "SPECIAL-USE")
    has_list = dice.random() < 0.4
    patterns = tuple(_pattern(dice) for _ in range(dice.randint(1, 3) if has_list else 1))
    reference = dice.choice(["", "", "", "a/", "ab", "Ä/"])
    found = Query(reference, patterns, selection, returns, has_list)
    if not found.is_extended and not patterns[0]:
        return Query(reference, ("*",))  # asks for the separator
    return found


async def _do(client: Transcript, text: str) -> list[str]:
    await client.send(f"t {text}\r\n".encode())
    lines = await client.until("t *")
    assert lines[-1].startswith("t OK"), (text, lines)
    return lines[:-1]


async def _build(client: Transcript, dice: random.Random) -> World:
    """A tree with gaps: missing parents are made with a mailbox, and taken away again."""
    await client.run('C: l LIST "" * RETURN (SPECIAL-USE)')
    for line in await client.until("l OK *"):
        if (match := _LIST.fullmatch(line)) and match[2] != "INBOX":
            await _do(client, f'UNSUBSCRIBE "{match[2]}"')
            await _do(client, f'DELETE "{match[2]}"')
    mailboxes: dict[str, str | None] = {"INBOX": None}
    uses = list(USES)
    for name in {_name(dice) for _ in range(12)} - {"INBOX"}:
        if name in mailboxes:
            continue
        use = uses.pop() if uses and dice.random() < 0.3 else None
        await _do(client, f'CREATE "{_wire(name)}"' + (f" (USE ({use}))" if use else ""))
        mailboxes |= {above: mailboxes.get(above) for above in _parents(name)} | {name: use}
    subscribed = {name for name in mailboxes if dice.random() < 0.5}
    for name in mailboxes:
        verb = "SUBSCRIBE" if name in subscribed else "UNSUBSCRIBE"
        await _do(client, f'{verb} "{_wire(name)}"')
    for name in [one for one in mailboxes if one != "INBOX" and dice.random() < 0.35]:
        await _do(client, f'DELETE "{_wire(name)}"')
        del mailboxes[name]
    return World(mailboxes, frozenset(subscribed))


def _heard(lines: list[str], names: dict[str, str]) -> list[Row]:
    rows: list[Row] = []
    for line in lines:
        if match := _LIST.fullmatch(line):
            attributes = match[1].split()
            assert len(attributes) == len(set(attributes)), line
            info = frozenset((match[3] or "").replace('"', "").split())
            rows.append(Row(names.get(match[2], match[2]), frozenset(attributes), info))
        else:  # RFC 5819 2: right after its LIST
            match = _STATUS.fullmatch(line)
            assert match is not None, line
            last = rows.pop()
            assert names.get(match[1], match[1]) == last.name, line
            rows.append(Row(last.name, last.attributes, last.child_info, has_status=True))
    return rows


@pytest.mark.parametrize("seed", range(EXAMPLES))
async def test_list_tells_what_the_model_says(connect: Connect, seed: int) -> None:
    dice = random.Random(seed)
    client = await connect()
    world = await _build(client, dice)
    is_utf8 = bool(seed % 2)
    if is_utf8:
        await client.run("C: u ENABLE UTF8=ACCEPT\nS: * ENABLED UTF8=ACCEPT\nS: u OK *")
    everything = {*world.mailboxes, *world.subscribed}
    everything |= {above for name in everything for above in _parents(name)}
    names = {} if is_utf8 else {_wire(name): name for name in everything}
    for _ in range(COMMANDS):
        query = _query(dice)
        text = query.text(is_utf8=is_utf8)
        heard = _heard(await _do(client, text), names)
        assert len({row.name for row in heard}) == len(heard), text  # RFC 5258 3.3
        assert set(heard) == set(world.rows(query)), f"{text}\n{world}"
