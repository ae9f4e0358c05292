"""Opens what a power loss left behind and holds it against what was answered before."""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmail_kernel.content import Content
from rmail_kernel.storage.filesystem.fsck import check as fsck
from rmail_kernel.storage.filesystem.rebuild import DEFAULTS
from rmail_kernel.storage.mail import AppendItem
from tests.power_loss.disk import ALL_SPARED, NOTHING_SPARED, Disk, Loss, Names, Tree
from tests.power_loss.recording import Event, Mark, Sync, record
from tests.power_loss.workload import (
    ALICE,
    BURST,
    STATUS,
    STEPS,
    Snapshot,
    World,
    opened,
    snapshot,
    text,
)

PROBE = "Probe"


@dataclass(slots=True)
class Answered:
    """What was answered up to a moment: how many steps, what was seen after each of them."""

    done: int = 0
    seen: list[Snapshot] = field(default_factory=lambda: [{}])
    results: dict[int, Any] = field(default_factory=dict)
    burst: dict[int, int] = field(default_factory=dict)  # number -> UID
    has_mail: bool = False  # somebody saw mailboxes

    @classmethod
    def before(cls, events: Sequence[Event], end: int) -> Answered:
        """From the marks among the first `end` events; what the last step led to, and what the
        next one would have led to, is known from the later ones.
        """
        found = cls()
        for at, event in enumerate(events):
            value = event.value if isinstance(event, Mark) else {}
            if at < end:
                found.done = value.get("done", found.done)
                if "burst" in value:
                    found.burst[value["burst"]] = value["uid"]
                found.has_mail |= bool(value.get("snapshot", {}).get("mail"))
            if "seen" in value:
                found.seen.append(value["snapshot"])
                found.results[value["seen"]] = value["result"]
                if value["seen"] > found.done:
                    break
        return found


@dataclass(frozen=True, slots=True)
class Violation:
    """A state in which a promise is broken, and how to make it again."""

    end: int
    loss: Loss
    done: int
    text: str


def cases(events: Sequence[Event], count: int, seed: int) -> Iterator[tuple[int, Loss]]:
    """Up to `count` crash points with what is spared there: first each answer and each sync with
    nothing spared, then what chance says.
    """
    points = [
        at + 1 for at, e in enumerate(events) if isinstance(e, Mark) and "seen" not in e.value
    ]
    syncs = [at for at, e in enumerate(events) if isinstance(e, Sync)]
    chance = random.Random(seed)
    chance.shuffle(syncs)
    certain = [(end, NOTHING_SPARED) for end in (*points, *syncs)][: count // 2]
    yield from certain
    for number in range(count - len(certain)):
        end = chance.choice(
            [chance.choice(points), chance.choice(syncs), chance.randrange(len(events))]
        )
        names = chance.choice(list(Names)[1:])
        if names is Names.ALL and chance.random() < 0.3:
            yield end, ALL_SPARED
        else:
            kept = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
            yield end, Loss(names, number, kept, chance.choice([512, 4096]))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a store, in memory where that is possible: a check syncs a lot."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None, prefix="rmail-power-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


async def violation(tree: Tree, answered: Answered, seed: int) -> str | None:
    """What is wrong with a disk that was found so, or None."""
    with scratch() as disk:
        tree.write(disk)
        try:
            await _check(disk, answered, seed)
        except Exception as error:  # whatever a store does instead of opening
            cause = f" from {error.__cause__!r}" if error.__cause__ else ""
            return f"{type(error).__name__}: {str(error)[:1500]}{cause}"
    return None


async def _check(disk: Path, answered: Answered, seed: int) -> None:
    async with opened(disk) as world:
        await _touch(world, answered, seed)
        found = await snapshot(world)
        _compare(found, answered)
        has_alice = await world.directory.by_id(ALICE) is not None
        if has_alice and (disk / STATUS).exists():
            await _fsck(world)
            await _retry(world, answered)
            await _probe(world, answered)
            await _fsck(world)
    async with opened(disk) as world:
        again = await snapshot(world)
        for mailbox in (again["mail"], found["mail"]):
            mailbox.pop(PROBE, None)
            for box in mailbox.values():
                box["rising"] = None
        again["mail"].get("INBOX", {"messages": {}})["messages"].pop(world_probe(again), None)
        assert again == found, "another look shows something else"


def world_probe(found: Snapshot) -> str:
    """The UID of the message that the check itself stored in the INBOX."""
    digest = hashlib.sha256(text("probe")).hexdigest()
    messages = found["mail"].get("INBOX", {"messages": {}})["messages"]
    return next((uid for uid, message in messages.items() if message[0] == digest), "")


async def _touch(world: World, answered: Answered, seed: int) -> None:
    """What a client does first differs, and decides which way of recovery is taken."""
    if answered.done >= 2:
        first = seed % 3
        if first == 0:
            await world.mail.settle(ALICE)
        elif first == 1:
            await _retry(world, answered)


async def _retry(world: World, answered: Answered) -> None:
    """The last operation with an id, called again, gives the same answer and does nothing."""
    numbers = [n for n in range(1, answered.done + 1) if answered.results[n] is not None]
    if numbers:
        found = await STEPS[numbers[-1] - 1](world)
        assert found == answered.results[numbers[-1]], f"the retry of step {numbers[-1]} differs"


async def _fsck(world: World) -> None:
    report = await fsck(world.mail, ALICE, repair=False, progress=lambda *_: None)
    assert report.findings == [], report.findings


async def _probe(world: World, answered: Answered) -> None:
    """New messages and mailboxes get numbers above all that were told."""
    boxes = [box for seen in answered.seen[: answered.done + 1] for box in _boxes(seen)]
    (one,) = await world.mail.append(ALICE, [AppendItem("INBOX", Content.of(text("probe")))])
    told = [box["rising"][0] for box in boxes if box["fixed"][1] == one.uidvalidity]
    assert one.uid >= max(told, default=1), f"UID {one.uid} was told before"
    assert one.modseq > max((box["rising"][1] for box in boxes), default=0), "an old MODSEQ"
    made = await world.mail.create(ALICE, PROBE)
    assert made.uidvalidity > max((box["fixed"][1] for box in boxes), default=0), "old UIDVALIDITY"
    assert made.id > max((box["fixed"][0] for box in boxes), default=0), "an old mailbox id"


def _boxes(seen: Snapshot) -> list[dict[str, Any]]:
    return list(seen.get("mail", {}).values())


def _compare(found: Snapshot, answered: Answered) -> None:
    after = answered.seen[answered.done]
    later = answered.seen[answered.done + 1] if answered.done < len(STEPS) else after
    for part in ("directory", "state", "note"):
        if after:
            assert found[part] in (after[part], later[part]), _differences(
                part, found[part], after[part], later[part]
            )
    _compare_spool(found["spool"], answered)
    _compare_mail(found["mail"], after, later, answered)


def _compare_spool(found: dict[str, Any], answered: Answered) -> None:
    """An entry that was accepted and not removed is there; a removed one may come back whole."""
    after = answered.seen[answered.done].get("spool", {})
    known = [seen.get("spool", {}) for seen in answered.seen]
    later = known[-1]
    for name, held in after.items():
        assert name in found or name not in later, f"spool entry {name} is gone"
        assert name not in found or found[name] in (held, later.get(name, held)), (
            f"spool entry {name}: {found[name]}, not {held}"
        )
    for name in found.keys() - after.keys():
        whole = [one[name][0] for one in known if name in one]
        assert found[name][0] in whole, f"spool entry {name} is torn"


def _compare_mail(
    found: dict[str, Any], after: Snapshot, later: Snapshot, answered: Answered
) -> None:
    old, new = after.get("mail", {}), later.get("mail", {})
    if not answered.has_mail:  # nobody saw the mailboxes of a new account: they may get others
        assert not found or found.keys() == set(DEFAULTS), sorted(found)
        return
    if _is_burst(old, new):
        _compare_burst(found["Burst"], old["Burst"], new["Burst"], answered)
        found, old, new = (_without_burst(mail) for mail in (found, old, new))
    shape = _shape(found)
    if shape not in (_shape(old), _shape(new)):
        said = _differences("mail", shape, _shape(old), _shape(new))
        assert _makes_something(old, new), said
        _compare_half_made(found, old, new, said)
    for name, box in (new if shape == _shape(new) else old).items():
        uidnext, modseq = found[name]["rising"]
        assert uidnext >= box["rising"][0], f"{name}: UIDNEXT {uidnext} < {box['rising'][0]}"
        assert modseq >= box["rising"][1], f"{name}: MODSEQ {modseq} < {box['rising'][1]}"
        for uid, message in found[name]["messages"].items():
            told = box["messages"].get(uid, [0])
            assert message[-1] >= told[-1], f"{name} {uid}: an old MODSEQ"


def _makes_something(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the step under way makes mailboxes or messages: without its answer, files of it that
    are there already may be taken in as if somebody had put them there.
    """
    before, after = (
        {(box["fixed"][0], uid) for box in mail.values() for uid in ("", *box["messages"])}
        for mail in (old, new)
    )
    return bool(after - before)


def _compare_half_made(
    found: dict[str, Any], old: dict[str, Any], new: dict[str, Any], said: str
) -> None:
    """What the step does not touch is as it was; what it makes is whole, if it is there."""
    assert old.keys() <= found.keys() <= old.keys() | new.keys(), said
    known = {message[0] for mail in (old, new) for _, message in _messages(mail)}
    there = Counter(message[0] for _, message in _messages(found))
    kept = Counter(m[0] for _, m in _messages(old)) & Counter(m[0] for _, m in _messages(new))
    assert not kept - there, said
    assert there.keys() <= known, said
    for name, box in old.items():
        told = [box["fixed"], new.get(name, box)["fixed"]]
        assert found[name]["fixed"] in told, said
        for uid, message in box["messages"].items():
            after = new.get(name, {"messages": {}})["messages"].get(uid)
            here = found[name]["messages"].get(uid)
            assert (here or [0])[:-1] in (message[:-1], (after or [0])[:-1]), said


def _messages(mail: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    return [(name, one) for name, box in mail.items() for one in box["messages"].values()]


def _shape(mail: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: all but numbers that may have risen."""
    return {
        name: [box["fixed"], {uid: message[:-1] for uid, message in box["messages"].items()}]
        for name, box in mail.items()
    }


def _is_burst(old: dict[str, Any], new: dict[str, Any]) -> bool:
    counts = [len(mail.get("Burst", {"messages": ()})["messages"]) for mail in (old, new)]
    return counts == [0, BURST]


def _without_burst(mail: dict[str, Any]) -> dict[str, Any]:
    return {name: box for name, box in mail.items() if name != "Burst"}


def _compare_burst(
    box: dict[str, Any], old: dict[str, Any], new: dict[str, Any], answered: Answered
) -> None:
    assert box["fixed"] == old["fixed"]
    whole = {message[0]: message[:-1] for message in new["messages"].values()}
    for uid, message in box["messages"].items():
        assert whole.pop(message[0], None) == message[:-1], f"Burst {uid} is torn or there twice"
    for number, uid in answered.burst.items():
        told = new["messages"][str(uid)]
        assert str(uid) in box["messages"], f"burst{number} is gone"
        assert box["messages"][str(uid)][0] == told[0], f"burst{number} has another UID"
    assert box["rising"][0] > max(answered.burst.values(), default=0)


def _differences(part: str, found: Any, old: Any, new: Any) -> str:
    return f"{part}: against before: {_diff(found, old)}; against after: {_diff(found, new)}"


def _diff(found: Any, wanted: Any, where: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        lines = [f"{where}/{key} is new" for key in sorted(found.keys() - wanted.keys())]
        lines += [f"{where}/{key} is gone" for key in sorted(wanted.keys() - found.keys())]
        for key in sorted(found.keys() & wanted.keys()):
            lines += _diff(found[key], wanted[key], f"{where}/{key}")
        return lines
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [line for at, (a, b) in pairs for line in _diff(a, b, f"{where}/{at}")]
    return [] if found == wanted else [f"{where}: {found!r}, not {wanted!r}"]


async def violations(
    events: Sequence[Event], count: int, seed: int, stop_after: int = 3
) -> tuple[list[Violation], int]:
    """Checks `count` cases; what was found, and how many different disks there were."""
    disk = Disk(events)
    found: list[Violation] = []
    known: set[tuple[bytes, int, int]] = set()
    for end, loss in cases(events, count, seed):
        answered = Answered.before(events, end)
        tree = disk.after(end, loss)
        key = (tree.digest(), answered.done, len(answered.burst))
        if key in known:
            continue
        known.add(key)
        said = await violation(tree, answered, end + loss.seed)
        if said is not None:
            found.append(Violation(end, loss, answered.done, said))
            if len(found) >= stop_after:
                break
    return found, len(known)


async def violations_again(
    events: Sequence[Event], count: int, seed: int
) -> tuple[list[Violation], int]:
    """After each of `count` power losses the store is opened, and the power fails again meanwhile;
    the second losses in which something was broken, and how many disks there were.
    """
    disk = Disk(events)
    chance = random.Random(seed)
    found: list[Violation] = []
    disks = 0
    drawn = [case for case in cases(events, 20 * count, seed) if case[1] != ALL_SPARED]
    for end, loss in chance.sample(drawn, count):
        with scratch() as folder:
            (folder / "disk").mkdir()
            disk.after(end, loss).write(folder / "disk")
            again = record(folder, "tests.power_loss.reopening").events
        answered = Answered.before(events, end)
        begun = next(at for at, e in enumerate(again) if isinstance(e, Mark))
        second = Disk(again)
        syncs = [at for at in range(begun, len(again)) if isinstance(again[at], Sync)]
        for at in sorted(chance.sample(syncs, min(len(syncs), 6))):
            chosen = Loss(chance.choice([Names.NONE, Names.EACH, Names.JOURNAL]), at, 0.5)
            said = await violation(second.after(at, chosen), answered, at)
            disks += 1
            if said is not None:
                found.append(Violation(end, loss, answered.done, f"{at} {chosen}: {said}"))
    return found, disks
