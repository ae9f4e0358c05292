"""`rmail alias`: rules that say which account or address a local part stands for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rmail_kernel.cli.addresses import domains_of, parse_address, parse_domain, require_domain
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_json, show_table
from rmail_kernel.cli.session import Session, with_store
from rmail_kernel.cli.way import way_of
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.accounts import Alias

app = typer.Typer()
Domain = Annotated[str, typer.Argument(help="The domain that the rule belongs to.")]
Pattern = Annotated[
    str, typer.Argument(help="Regular expression for the whole local part; case does not count.")
]
Targets = Annotated[
    list[str],
    typer.Argument(metavar="TARGET...", help="Users of the domain, or addresses; each gets it."),
]


@app.command()
def add(
    domain: Domain, pattern: Pattern, targets: Targets, config: Config = DEFAULT_CONFIG
) -> None:
    """Append a rule; the first that matches applies, accounts come before all rules."""
    name, rule = parse_domain(domain), Alias.to(pattern, targets)

    async def work(session: Session) -> None:
        await require_domain(session.directory, name)
        await session.directory.add_alias(name, rule)

    with_store(config, work)
    typer.echo(f"alias {pattern} -> {', '.join(targets)} added to {name}")


@app.command("list")
def list_(
    domain: Annotated[str | None, typer.Argument(help="Default: all domains.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the rules in the order in which they apply."""
    wanted = parse_domain(domain) if domain else None

    async def work(session: Session) -> list[tuple[str, Alias]]:
        names = await domains_of(session.directory, wanted)
        return [(name, rule) for name in names for rule in await session.directory.aliases(name)]

    rules = with_store(config, work)
    if as_json:
        show_json([_form(name, rule) for name, rule in rules])
    else:
        rows = [(name, rule.pattern, ", ".join(rule.targets)) for name, rule in rules]
        show_table(("domain", "pattern", "target"), rows)


def _form(domain: str, rule: Alias) -> dict[str, object]:
    """`target` alone for a rule of one target, with `targets` for a rule of several."""
    found = {"domain": domain, "pattern": rule.pattern, "target": rule.target}
    return found | ({"targets": list(rule.targets)} if rule.others else {})


@app.command()
def remove(domain: Domain, pattern: Pattern, config: Config = DEFAULT_CONFIG) -> None:
    """Remove the rule of exactly this pattern."""
    name = parse_domain(domain)

    async def work(session: Session) -> None:
        await require_domain(session.directory, name)
        if pattern not in {rule.pattern for rule in await session.directory.aliases(name)}:
            raise NotFound(f"{name} has no alias {pattern}; `rmail alias list {name}` shows all")
        await session.directory.remove_alias(name, pattern)

    with_store(config, work)
    typer.echo(f"alias {pattern} removed from {name}")


@app.command("test")
def show_way(
    address: Annotated[str, typer.Argument(help="A recipient.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Show where mail for an address would go; exit code 1 when it would be refused."""
    recipient = parse_address(address)
    found = with_store(config, lambda session: way_of(session, recipient))
    if as_json:
        show_json(asdict(found))
    else:
        show_table(("step", "from", "to"), found.lines())
    return 1 if found.is_refused else 0
