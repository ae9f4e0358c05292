"""The table of commands, and how one of them is loaded and run.

Only the module of the called command is imported; the others stand in the help as their line of
this table. Plugins add commands by entry points of the group `rmail.cli`: name -> typer app.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from rmail_kernel import __version__
from rmail_kernel.cli import failures

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "rmail.cli"
# name: (where the function or typer app is, line in the help), in the order of the help
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("rmail_kernel.cli.init:init", "Write a configuration and a store."),
    "dev": ("rmail_kernel.cli.dev:dev", "Serve a demo store on this machine; no set-up needed."),
    "run": ("rmail_kernel.cli.run:run", "Serve."),
    "status": ("rmail_kernel.cli.status:status", "Tell whether the server runs, and what it has."),
    "sessions": ("rmail_kernel.cli.sessions:app", "Client sessions: list, kick."),
    "trace": ("rmail_kernel.cli.trace:trace", "Write down what an account's clients say."),
    "user": ("rmail_kernel.cli.user:app", "Accounts: add, list, show, set, passwd, delete."),
    "domain": ("rmail_kernel.cli.domain:app", "Mail domains: add, list, remove."),
    "alias": ("rmail_kernel.cli.alias:app", "Aliases: add, list, remove, test."),
    "plugins": ("rmail_kernel.cli.plugins:plugins", "List the installed plugins."),
    "plugin": ("rmail_kernel.cli.plugin:app", "Start a plugin of your own: new."),
    "config": ("rmail_kernel.cli.config:app", "Settings: show, check, docs."),
    "fsck": ("rmail_kernel.cli.fsck:fsck", "Check the store, and repair it."),
    "migrate": ("rmail_kernel.cli.migrate:migrate", "Take over a store of the original product."),
    "unban": ("rmail_kernel.cli.unban:unban", "End the lockout of an address or an account."),
}
_EPILOG = "--debug, given anywhere, shows the traceback of an unexpected error."


def run(arguments: list[str]) -> int:
    """Runs one command line and turns whatever happens into an exit code and at most one line."""
    is_debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        result = get_command(build(words)).main(words, prog_name="rmail", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can catch it
        return failures.report(error, is_debug=is_debug)
    return result if isinstance(result, int) else 0


def build(words: list[str]) -> typer.Typer:
    """The app for one command line: the called command whole, all others by name only."""
    root = typer.Typer(
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=_EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    root.callback(invoke_without_command=True)(_root)
    called = _called(words)
    is_completing = "_RMAIL_COMPLETE" in os.environ
    for name, (target, text) in COMMANDS.items():
        if is_completing or name == called:
            _add(root, name, _load(target), text)
        else:
            root.command(name, help=text)(_elsewhere)
    if called not in COMMANDS:
        _add_foreign(root, called)
    return root


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Mail, calendar and files, as plugins on one kernel."""
    if version:
        typer.echo(f"rmail {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _elsewhere() -> None:
    """Stands in the help for a command that was not called."""


def _called(words: list[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _load(target: str) -> Any:
    from pkgutil import resolve_name

    return resolve_name(target)


def _add(root: typer.Typer, name: str, found: Any, text: str | None) -> None:
    if isinstance(found, typer.Typer):
        root.add_typer(found, name=name, help=text)
    else:
        root.command(name, help=text)(found)


def _add_foreign(root: typer.Typer, called: str) -> None:
    """Commands of plugins; the kernel's own names win."""
    from importlib.metadata import entry_points

    from rmail_kernel.errors import PluginError

    seen: set[str] = set()
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in COMMANDS:
            continue
        if point.name in seen:
            raise PluginError("two distributions offer this command", plugin=point.name)
        seen.add(point.name)
        if point.name != called:
            root.command(point.name, help=_foreign_help(point))(_elsewhere)
            continue
        try:
            found = point.load()
        except Exception as error:  # a stranger's module: named, in one line
            raise PluginError(f"the command cannot be loaded: {error!r}", plugin=called) from error
        _add(root, point.name, found, None)


def _foreign_help(point: EntryPoint) -> str:
    """What its distribution says of itself: the module is not imported for a line of the help."""
    if point.dist is None:
        return f"A command of {point.value}."
    summary = point.dist.metadata["Summary"]
    return f"{summary} ({point.dist.name})." if summary else f"A command of {point.dist.name}."
