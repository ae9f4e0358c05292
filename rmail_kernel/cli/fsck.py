"""`rmail fsck`: compares what the store says with what is in its files, and repairs it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from rmail_kernel.cli.addresses import account_of, accounts_of
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import plain, show_json
from rmail_kernel.cli.progress import Progress, progress_bar
from rmail_kernel.cli.session import Session, load_settings, open_session
from rmail_kernel.delivery.spool_check import check_spool
from rmail_kernel.errors import Invalid, Unsupported
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import Finding, Report, Severity, check
from rmail_kernel.storage.filesystem.queue import FilesystemQueue

Reports = list[tuple[str, Report]]  # by address
_SPOOL = "spool"
_QUEUE = "queue"
_NO_ACCOUNTS = frozenset({_SPOOL, _QUEUE})
_SEVERITIES: dict[bool, Severity] = {True: "warning", False: "error"}  # by whether it is harmless


def fsck(
    account: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="Default: all accounts.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be.")] = False,
    reindex: Annotated[
        bool, typer.Option("--reindex", help="With --repair: make the full-text indexes anew.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Check the files and databases of accounts, the spool and the queue; exit code 1 when
    something stays wrong. Safe while the server runs.
    """
    if reindex and not repair:
        raise Invalid("--reindex changes something; give --repair, too")
    with progress_bar() as progress:
        reports = asyncio.run(_check_all(config, account, progress, repair=repair, reindex=reindex))
    if as_json:
        show_json(_as_data(reports))
    else:
        _print(reports, is_repairing=repair)
    return 0 if all(report.is_clean for _, report in reports) else 1


async def _check_all(
    config: Path, text: str | None, progress: Progress, *, repair: bool, reindex: bool
) -> Reports:
    reports: Reports = []
    async with open_session(load_settings(config)) as session:
        store = session.mail
        if not isinstance(store, FilesystemMailStore):
            raise Unsupported("this storage driver keeps no files to check")
        for account in await _accounts(session, text):
            address = str(account.address)

            def steps(done: int, total: int, address: str = address) -> None:
                progress(address, done, total)

            reports.append(
                (address, await check(store, account.id, repair, steps, reindex=reindex))
            )
        if text is None:
            reports.append((_SPOOL, _spool(session.settings.mail_root / "spool", repair=repair)))
            reports.append((_QUEUE, await _queue(session, repair=repair)))
    return reports


def _spool(directory: Path, *, repair: bool) -> Report:
    """What is wrong with the accepted messages that are not delivered yet."""
    found = check_spool(directory, repair=repair)
    findings = [
        Finding(_SEVERITIES[one.is_harmless], "", one.text, one.repaired) for one in found.findings
    ]
    return Report(findings, found.waiting)


async def _queue(session: Session, *, repair: bool) -> Report:
    """What is wrong with the mail that waits for its way out."""
    if not isinstance(session.queue, FilesystemQueue):
        return Report()
    found = await session.queue.check(repair=repair)
    findings = [
        Finding(_SEVERITIES[one.is_harmless], "", one.text, one.repaired) for one in found.findings
    ]
    return Report(findings, found.jobs)


async def _accounts(session: Session, text: str | None) -> list[Account]:
    if text is not None:
        return [await account_of(session.directory, text)]
    return await accounts_of(session.directory)


def _as_data(reports: Reports) -> dict[str, Any]:
    findings = [
        {
            "account": None if address in _NO_ACCOUNTS else address,
            "place": address,
            "mailbox": found.mailbox or None,
            "severity": found.severity,
            "text": found.text,
            "repaired": found.repaired,
        }
        for address, report in reports
        for found in report.findings
    ]
    return {
        "accounts": sum(name not in _NO_ACCOUNTS for name, _ in reports),
        "messages": sum(r.messages for name, r in reports if name not in _NO_ACCOUNTS),
        "spooled": sum(r.messages for name, r in reports if name == _SPOOL),
        "queued": sum(r.messages for name, r in reports if name == _QUEUE),
        "findings": findings,
    }


def _print(reports: Reports, *, is_repairing: bool) -> None:
    data = _as_data(reports)
    for found in data["findings"]:
        place = plain(" ".join(filter(None, (found["place"], found["mailbox"]))))
        state = "repaired" if found["repaired"] else found["severity"]
        typer.echo(f"{state}: {place}: {plain(found['text'])}")
    left = sum(not found["repaired"] for found in data["findings"])
    looked_at = f"{data['accounts']} accounts, {data['messages']} messages"
    if data["spooled"]:
        looked_at += f", {data['spooled']} in the spool"
    if data["queued"]:
        looked_at += f", {data['queued']} in the queue"
    hint = "" if is_repairing or not left else "; `rmail fsck --repair` repairs what can be"
    typer.echo(f"{looked_at}: {f'{left} findings{hint}' if left else 'clean'}")
