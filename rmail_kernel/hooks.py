"""The words in which hooks are declared and implemented; the hooks themselves are in hookspecs.py.

It must know no hook.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import pluggy

PROJECT = "rmail"
hookimpl = pluggy.HookimplMarker(PROJECT)
_spec = pluggy.HookspecMarker(PROJECT)
_F = TypeVar("_F", bound=Callable[..., Any])


class Mode(StrEnum):
    """How the bus walks the implementations of a hook."""

    POLICY = (
        "policy"  # Reject, Defer or Accept ends the walk, Annotate is kept; an error: Temporary
    )
    FIRST = "first"  # the first answer that is not None wins; an error: Temporary
    CHAIN = "chain"  # each sees the last answer; a verdict stops; an error becomes Defer
    NOTIFY = "notify"  # after the fact; errors are logged and counted, none reaches the caller
    COLLECT = "collect"  # at start-up; every item is validated; any error is fatal


def hook(
    mode: Mode, *, deadline_s: float = 30.0, answers: tuple[type, ...] | None = None
) -> Callable[[_F], _F]:
    """Declares a hook.

    Args:
        mode: how the bus calls it.
        deadline_s: seconds one implementation may take; past it, it is cancelled and counts as
            having raised.
        answers: what an answer may be, besides None; anything else is rubbish, an error of the
            plugin. None: answers are not looked at.
    """

    def declare(function: _F) -> _F:
        function.__dict__["rmail_mode"] = mode
        function.__dict__["rmail_deadline_s"] = deadline_s
        function.__dict__["rmail_answers"] = answers
        return _spec(function)

    return declare
