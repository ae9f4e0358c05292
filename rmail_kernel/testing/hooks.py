"""A plugin that writes down every event hook as it fires."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from rmail_kernel import hookspecs
from rmail_kernel.hooks import hookimpl

# Whoever implements it decides about passwords, which turns SCRAM off; on_login and on_login_failed
# tell what became of a login.
_LEFT_ALONE = frozenset({"on_auth"})


class HookRecorder:
    """Records the arguments of each event hook but `on_auth`, in order; register it like any
    plugin.

    Attributes:
        calls: hook name -> list of argument dictionaries.
    """

    name = "recorder"

    def __init__(self) -> None:
        self.calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._changed = asyncio.Condition()
        for hook, spec in vars(hookspecs).items():
            is_event = hook.startswith("on_") and hasattr(spec, "rmail_mode")
            if is_event and hook not in _LEFT_ALONE:
                setattr(self, hook, hookimpl(self._recorder(hook, spec)))

    async def wait_for(
        self, hook: str, count: int = 1, timeout_s: float = 10.0
    ) -> list[dict[str, Any]]:
        """The calls of a hook, once there are at least `count`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.calls[hook]) >= count)
        return self.calls[hook]

    def _recorder(self, hook: str, spec: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(spec).parameters)

        async def record(**arguments: Any) -> None:
            async with self._changed:
                self.calls[hook].append(arguments)
                self._changed.notify_all()

        return _with_arguments(record, names)


def _with_arguments(record: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """pluggy reads argument names from the code object, so the recorder must really have them."""
    arguments = ", ".join(names)
    keywords = ", ".join(f"{name}={name}" for name in names)
    source = f"lambda {arguments}: record({keywords})"
    named: Callable[..., Any] = eval(source, {"record": record})  # noqa: S307 - our own hook names
    return named
