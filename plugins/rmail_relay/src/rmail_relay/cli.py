"""`rmail queue`: outbound mail that waits, beside a running server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_fields, show_json, show_table
from rmail_kernel.cli.session import Session, with_store
from rmail_kernel.errors import Invalid
from rmail_kernel.storage.queue import JobState, Queue
from rmail_relay.queued import KIND, encode
from rmail_relay.selection import Entry, Selection, selected

app = typer.Typer(help="Outbound mail that waits: list, show, retry, hold, release, cancel, flush.")
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids, or their beginnings.")]
Domain = Annotated[str, typer.Option(help="Only mail for this domain.")]
Sender = Annotated[str, typer.Option(help="Only mail of this sender; <> for notices.")]
Recipient = Annotated[str, typer.Option(help="Only mail that still waits for this recipient.")]
Everything = Annotated[bool, typer.Option("--all", help="All messages.")]
_STAYS = {
    JobState.LEASED: "left as before: being sent now",
    JobState.HELD: "left as before: held, see `rmail queue release`",
}
_Change = Callable[[Queue], Callable[[str, Sequence[str]], Awaitable[list[str]]]]


@app.command("list")
def list_(
    domain: Domain = "",
    sender: Sender = "",
    recipient: Recipient = "",
    state: Annotated[JobState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List what waits, one line for each message and destination domain."""
    wanted = Selection((), domain, sender, recipient, state or "")

    async def work(session: Session) -> list[Entry]:
        return await selected(session.queue, wanted, limit)

    entries = with_store(config, work)
    if as_json:
        show_json([_summary(entry) for entry in entries])
        return
    if not entries:
        typer.echo("nothing waits" if wanted.is_everything else "nothing of that kind waits")
        return
    titles = ("id", "state", "size", "next attempt", "tries", "sender", "waiting for", "reason")
    show_table(titles, [_row(entry) for entry in entries])


@app.command()
def show(
    message: Annotated[str, typer.Argument(metavar="ID", help="An id, or its beginning.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one message with the fate of each recipient."""

    async def work(session: Session) -> Entry:
        return (await selected(session.queue, Selection((message,))))[0]

    entry = with_store(config, work)
    record = _summary(entry) | {"recipients": _recipients(entry)}
    if as_json:
        show_json(record)
        return
    fates = record.pop("recipients")
    show_fields(record)
    titles = ("recipient", "fate", "code", "status", "remote", "text")
    show_table(titles, [[fate[title] for title in titles] for fate in fates])


@app.command()
def flush(domain: Domain = "", config: Config = DEFAULT_CONFIG) -> None:
    """Try all that waits now, or all for one domain."""
    _change(Selection((), domain), True, config, lambda queue: queue.hurry, "tried now")


def _changing(name: str, text: str, change: _Change, done: str) -> None:
    """A command that does something to the messages that are meant."""

    @app.command(name, help=text)
    def command(
        ids: Ids = None,
        domain: Domain = "",
        sender: Sender = "",
        recipient: Recipient = "",
        everything: Everything = False,
        config: Config = DEFAULT_CONFIG,
    ) -> None:
        wanted = Selection(ids or (), domain, sender, recipient)
        _change(wanted, everything, config, change, done)


_changing("retry", "Try messages now.", lambda queue: queue.hurry, "tried now")
_changing(
    "hold",
    "Keep messages from being tried until they are released.",
    lambda queue: queue.hold,
    "held",
)
_changing("release", "Let held messages go on, at once.", lambda queue: queue.release, "released")
_changing(
    "cancel",
    "Drop messages for good; their senders are not told. What is being sent now stays.",
    lambda queue: queue.cancel,
    "cancelled",
)


def _change(wanted: Selection, everything: bool, config: Any, change: _Change, done: str) -> None:
    if wanted.is_everything and not everything:
        raise Invalid("say which messages: ids, --domain, --sender, --recipient, or --all")

    async def work(session: Session) -> tuple[int, list[Entry]]:
        entries = await selected(session.queue, wanted)
        changed = set(await change(session.queue)(KIND, [entry.job.id for entry in entries]))
        return len(changed), [entry for entry in entries if entry.job.id not in changed]

    count, others = with_store(config, work)
    typer.echo(f"{_messages(count)} {done}")
    for state, why in _STAYS.items():
        left = sum(entry.job.state is state for entry in others)
        if left:
            typer.echo(f"{_messages(left)} {why}")


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _summary(entry: Entry) -> dict[str, Any]:
    job = entry.job
    return {
        "id": job.id,
        "state": job.state.value,
        "domain": entry.queued.domain if entry.queued else None,
        "sender": entry.sender,
        "waiting_for": entry.waiting,
        "size_bytes": job.size_bytes,
        "created_at": _time(job.created_at),
        "next_attempt_at": _time(job.due_at),
        "attempts": job.attempts,
        "reason": job.error,
    }


def _recipients(entry: Entry) -> list[dict[str, Any]]:
    if entry.queued is None:
        return []
    told = {one["recipient"]: one for one in encode(entry.queued)["last"]}
    nothing = {"kind": "waiting", "code": "", "status": "", "remote": "", "text": ""}
    rows = []
    for recipient in map(str, entry.queued.envelope.recipients):
        last = told.get(recipient, nothing)
        row = {key: last[key] for key in ("code", "status", "remote", "text")}
        rows.append({"recipient": recipient, "fate": last["kind"], **row})
    return rows


def _row(entry: Entry) -> list[object]:
    job = entry.job
    due = _time(job.due_at) if job.state is JobState.WAITING else ""
    return [
        job.id,
        job.state.value,
        job.size_bytes,
        due,
        job.attempts,
        entry.sender,
        entry.waiting,
        job.error,
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
