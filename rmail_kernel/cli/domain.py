"""`rmail domain`: mail domains."""

from __future__ import annotations

from typing import Annotated

import typer

from rmail_kernel.cli.addresses import parse_domain
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_json
from rmail_kernel.cli.session import Session, with_store
from rmail_kernel.errors import Conflict, NotFound

app = typer.Typer()
Domain = Annotated[str, typer.Argument(help="A domain name, like example.com.")]


@app.command()
def add(domain: Domain, config: Config = DEFAULT_CONFIG) -> None:
    """Make a domain."""
    name = parse_domain(domain)

    async def work(session: Session) -> None:
        if await session.directory.has_domain(name):
            raise Conflict(f"there is a domain {name} already")
        await session.directory.add_domain(name)

    with_store(config, work)
    typer.echo(f"domain {name} added")


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the domains."""

    async def work(session: Session) -> list[str]:
        return await session.directory.domains()

    domains = with_store(config, work)
    if as_json:
        show_json(domains)
    else:
        typer.echo("\n".join(domains) or "no domains; `rmail domain add` makes one")


@app.command()
def remove(domain: Domain, config: Config = DEFAULT_CONFIG) -> None:
    """Remove a domain that has no accounts."""
    name = parse_domain(domain)

    async def work(session: Session) -> None:
        if not await session.directory.has_domain(name):
            raise NotFound(f"there is no domain {name}")
        if users := await session.directory.users(name):
            raise Conflict(f"{name} still has {len(users)} accounts; delete them first")
        if name in session.settings.domains:
            raise Conflict(f"{name} stands in `domains` of {config}; take it out there first")
        await session.directory.remove_domain(name)

    with_store(config, work)
    typer.echo(f"domain {name} removed")
