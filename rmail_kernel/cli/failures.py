"""What a command says when it fails: one line on standard error that tells what to do, and the
exit code. A traceback goes to a file, and to the terminal only with --debug.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from rmail_kernel.errors import ConfigError, Invalid, PluginError, RmailError

FAILED = 1
WRONG_USE = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def report(error: BaseException, *, is_debug: bool) -> int:
    """Tells the user about an error; the exit code.

    Args:
        error: what ended the command.
        is_debug: show the traceback.
    """
    if is_debug and not isinstance(error, TyperException):
        traceback.print_exception(error)
    code, text = _explain(error)
    if text:
        typer.echo(f"rmail: {' '.join(text.split())}", err=True)
    return code


def _explain(error: BaseException) -> tuple[int, str]:
    if isinstance(error, TyperException):
        return WRONG_USE, _explain_use(error)
    if isinstance(error, ConfigError | PluginError | Invalid):
        return WRONG_USE, error.safe
    if isinstance(error, RmailError):
        return FAILED, error.safe
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return _INTERRUPTED, "stopped"
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return FAILED, ""
    if isinstance(error, OSError) and error.strerror:
        return _explain_os_error(error)
    return FAILED, f"unexpected {type(error).__name__}; the traceback is in {_log(error)}"


def _explain_use(error: TyperException) -> str:
    """What was wrong, and the help of the very command that was meant."""
    text = error.format_message().rstrip(".")
    if text.endswith("?"):
        return text
    context: Any = getattr(error, "ctx", None)  # of a class that typer does not make public
    if context is None:
        return f"{text}; see `rmail --help`"
    if text == "Missing command" and isinstance(context.command, TyperGroup):
        text = f"say which: {', '.join(context.command.commands)}"
    return f"{text}; see `{context.command_path} --help`"


def _explain_os_error(error: OSError) -> tuple[int, str]:
    where = f"{error.filename}: " if error.filename else ""
    is_setup = error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.EADDRINUSE}
    return WRONG_USE if is_setup else FAILED, f"{where}{error.strerror}"


def _log(error: BaseException) -> str:
    descriptor, name = tempfile.mkstemp(prefix="rmail-error-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        traceback.print_exception(error, file=file)
    return name


def _discard_output() -> None:
    """The reader of our output is gone: the flush at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
