"""`rmail migrate`: takes over a store that the original product wrote, in place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from rmail_kernel.auth.passwords import is_known
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import plain, show_json
from rmail_kernel.cli.progress import Progress, progress_bar
from rmail_kernel.cli.session import Session, load_settings, open_session
from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError, NotFound, RmailError, Unsupported
from rmail_kernel.failpoints import reach
from rmail_kernel.model import Address
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.migrating import Plan, Survey, migrate_mail, survey
from rmail_kernel.storage.ids import AccountId


@dataclass(frozen=True, slots=True)
class Outcome:
    """One account: what was found, and what is wrong now; `is_done`: it is of our layout."""

    plan: Plan
    is_done: bool
    problems: list[str]


def migrate(
    account: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="Default: all accounts.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only tell what would be done.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Take over a store of the original product, in place: UIDs, UIDVALIDITY, flags, dates,
    passwords and aliases stay. Can be stopped at any time and begun again. Stop the original server
    before; rmail may run. Exit code 1 when something went wrong or is lost.
    """
    settings = load_settings(config)
    found = _survey(settings, account)
    if dry_run:
        outcomes = [Outcome(one, False, _problems(one)) for one in found.accounts]
    else:
        with progress_bar() as progress:
            outcomes = asyncio.run(_migrate_all(settings, found, progress))
    if as_json:
        show_json(_as_data(found, outcomes))
    else:
        _print(found, outcomes, dry_run=dry_run)
    return 1 if found.problems or any(one.problems for one in outcomes) else 0


def _survey(settings: Settings, account: str | None) -> Survey:
    if settings.storage.driver != "filesystem":
        raise Unsupported("only the driver 'filesystem' knows the original layout")
    if not settings.mail_root.is_dir():
        raise ConfigError(f"there is no store at {settings.mail_root}", path="mail_root")
    if account is None:
        return survey(settings.mail_root)
    found = survey(settings.mail_root, AccountId(Address.parse(account).key))
    if not found.accounts:
        raise NotFound(f"there is no account {account}")
    return found


def _problems(plan: Plan) -> list[str]:
    if plan.record_problem or is_known(plan.password_hash):
        return plan.problems
    return [
        "account.json has no password hash that is known; `rmail user passwd` sets one",
        *plan.problems,
    ]


async def _migrate_all(settings: Settings, found: Survey, progress: Progress) -> list[Outcome]:
    async with open_session(settings) as session:
        directory = session.directory
        assert isinstance(directory, FilesystemDirectory)
        for domain in found.domains:
            await directory.renew_domain(domain)
            reach("migrate.domain")
        return [await _migrate_one(session, directory, one, progress) for one in found.accounts]


async def _migrate_one(
    session: Session, directory: FilesystemDirectory, plan: Plan, progress: Progress
) -> Outcome:
    problems = _problems(plan)
    if plan.record_problem:
        return Outcome(plan, False, problems)
    if not plan.is_needed:
        return Outcome(plan, True, problems)
    store = session.mail
    assert isinstance(store, FilesystemMailStore)

    def steps(done: int, total: int) -> None:
        progress(plan.account, done, total)

    try:
        problems += await migrate_mail(store, session.settings.mail_root, plan, steps)
        await directory.renew_account(plan.account)  # the last step: what is not done yet shows
    except (RmailError, OSError) as error:
        text = error.safe if isinstance(error, RmailError) else str(error)
        return Outcome(plan, False, [*problems, text])
    return Outcome(plan, True, problems)


def _as_data(found: Survey, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "accounts": [
            {
                "account": one.plan.account,
                "needed": one.plan.is_needed,
                "done": one.is_done,
                "messages": one.plan.messages,
                "size_bytes": one.plan.size_bytes,
                "mailboxes": {
                    box.name or box.directory: box.messages for box in one.plan.mailboxes
                },
                "moved": _moved(one.plan),
                "problems": one.problems,
            }
            for one in outcomes
        ],
        "domains": found.domains,
        "problems": found.problems,
    }


def _moved(plan: Plan) -> dict[str, str]:
    """The new directory of each mailbox that gets one, by the old."""
    return {one.directory: one.target for one in plan.mailboxes if one.has_to_move}


def _print(found: Survey, outcomes: list[Outcome], *, dry_run: bool) -> None:
    for domain in found.domains:
        typer.echo(f"{plain(domain)}: {'would renew' if dry_run else 'renewed'} its records")
    for one in outcomes:
        _print_account(one, dry_run=dry_run)
    for problem in found.problems:
        typer.echo(f"problem: {plain(problem)}")
    problems = len(found.problems) + sum(len(one.problems) for one in outcomes)
    due = [one.plan for one in outcomes if one.plan.is_needed and (dry_run or one.is_done)]
    done = "to migrate" if dry_run else "migrated"
    messages = sum(plan.messages for plan in due)
    typer.echo(f"{len(due)} accounts {done}, {messages} messages, {problems} problems")


def _print_account(one: Outcome, *, dry_run: bool) -> None:
    plan = one.plan
    if not plan.is_needed:
        state = "is of today's layout"
    elif dry_run:
        state = "would be migrated"
    else:
        state = "migrated" if one.is_done else "NOT MIGRATED"
    size = f"{len(plan.mailboxes)} mailboxes, {plan.messages} messages, {plan.size_bytes} bytes"
    typer.echo(f"{plain(plan.account)}: {state}: {size}")
    for old, new in _moved(plan).items():
        typer.echo(f"  {'would move' if dry_run else 'moved'} {plain(old)} to {plain(new)}")
    for problem in one.problems:
        typer.echo(f"  problem: {plain(problem)}")
