"""The hook bus: calls event hooks one implementation at a time, awaiting each, in the mode its
specification names.

pluggy finds and orders the implementations (tryfirst, trylast, last registered first); its own
call does not understand coroutines. A plugin that raises, stalls past the deadline or returns
rubbish never reaches further than its hook.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from types import ModuleType
from typing import Any, TypeVar

import pluggy
import structlog

from rmail_kernel.errors import PluginError, RmailError, Temporary
from rmail_kernel.hooks import PROJECT
from rmail_kernel.model import Accept, Annotate, Defer, Discard, Reject
from rmail_kernel.observe.metrics import HOOK_ERRORS, HOOK_SECONDS

T = TypeVar("T")
_log = structlog.get_logger("rmail.bus")


class Bus:
    """The registry of plugins and the ways to call a hook.

    Args:
        specs: the module that declares the hooks.
    """

    def __init__(self, specs: ModuleType) -> None:
        self._specs = specs
        self.plugins = pluggy.PluginManager(PROJECT)
        self._running: set[asyncio.Future[Any]] = set()
        self.plugins.add_hookspecs(specs)

    def declare(self, specs: ModuleType) -> None:
        """Adds hooks that plugins may implement, declared as in `hookspecs.py`.

        Raises:
            ValueError: it declares none.
        """
        self.plugins.add_hookspecs(specs)

    def register(self, plugin: object, name: str) -> None:
        """Adds a plugin instance, and the hooks of its module `hookspecs` if it has one.

        Raises:
            PluginError: the name is taken, or a hook implementation is a wrapper or asks for
                unknown arguments.
        """
        try:
            specs = getattr(plugin, "hookspecs", None)
            if specs is not None:
                self.declare(specs)
            self.plugins.register(plugin, name)
        except ValueError as error:
            raise PluginError(str(error), plugin=name) from error
        except pluggy.PluginValidationError as error:
            self.plugins.unregister(name=name)  # pluggy leaves it half registered
            raise PluginError(str(error), plugin=name) from error
        for caller in self.plugins.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and (impl.hookwrapper or impl.wrapper):
                    raise PluginError(f"hook {caller.name} cannot be a wrapper", plugin=name)

    def check(self) -> None:
        """Refuses implementations of hooks that do not exist, except those marked
        `optionalhook`: the plugin that declares the hook may not be loaded.

        Raises:
            PluginError: a misspelt hook; the message names it and the plugin.
        """
        for name, plugin in self.plugins.list_name_plugin():
            for caller in self.plugins.get_hookcallers(plugin) or ():
                if not (caller.has_spec() or _is_optional(caller, plugin)):
                    raise PluginError(f"there is no hook {caller.name!r}", plugin=name)

    def has(self, hook: str) -> bool:
        """Whether any plugin implements the hook."""
        return bool(self._implementations(hook))

    async def first(self, hook: str, **arguments: Any) -> Any:
        """The first answer that is not None, or None.

        Raises:
            Temporary: an implementation raised, stalled or answered rubbish (fail closed).
        """
        for impl in self._implementations(hook):
            answer = await self._call(hook, impl, arguments)
            if answer is not None:
                return answer
        return None

    async def policy(
        self, hook: str, notes: list[Annotate] | None = None, **arguments: Any
    ) -> Reject | Defer | None:
        """Why a stage is refused; None: it is not. Accept ends the walk with yes.

        Args:
            notes: where annotations are put.

        Raises:
            Temporary: an implementation raised, stalled or answered rubbish (fail closed).
        """
        for impl in self._implementations(hook):
            answer = await self._call(hook, impl, arguments)
            if isinstance(answer, Reject | Defer):
                return answer
            if isinstance(answer, Accept):
                return None
            if isinstance(answer, Annotate) and notes is not None:
                notes.append(answer)
        return None

    async def chain(self, hook: str, argument: str, value: T) -> T | Reject | Defer | Discard:
        """Passes `value` through every implementation; Reject, Defer and Discard end the walk."""
        for impl in self._implementations(hook):
            try:
                answer = await self._call(hook, impl, {argument: value})
            except Temporary:
                return Defer("Temporary failure, try again later", status="4.3.0")
            if isinstance(answer, Reject | Defer | Discard):
                return answer
            if answer is not None:
                value = answer
        return value

    async def notify(self, hook: str, **arguments: Any) -> None:
        """Calls every implementation; their errors end in the log."""
        for impl in self._implementations(hook):
            try:
                await self._call(hook, impl, arguments)
            except Temporary:
                continue

    def collect(self, hook: str, item_type: type[T], **arguments: Any) -> list[T]:
        """Everything the implementations of a start-up hook return, in registration order.

        Raises:
            PluginError: an implementation raised or returned something else than `item_type` items.
        """
        items: list[T] = []
        for impl in reversed(self._implementations(hook)):
            try:
                found: Any = impl.function(*[arguments[name] for name in impl.argnames])
                batch: list[Any] = [] if found is None else list(found)
            except RmailError:
                raise
            except Exception as error:  # a stranger's code: named, and the start ends
                raise PluginError(f"{hook} failed: {error!r}", plugin=impl.plugin_name) from error
            for item in batch:
                if not isinstance(item, item_type):
                    text = f"{hook} returned {item!r}, not {item_type.__name__}"
                    raise PluginError(text, plugin=impl.plugin_name)
            items.extend(batch)
        return items

    async def start(self, hook: str, **arguments: Any) -> None:
        """Calls every implementation of a start-up event; the first error is fatal.

        Raises:
            PluginError: an implementation raised; the message names the plugin.
        """
        for impl in reversed(self._implementations(hook)):
            try:
                result = impl.function(*[arguments[name] for name in impl.argnames])
                if inspect.isawaitable(result):
                    await result
            except RmailError:
                raise
            except Exception as error:  # a stranger's code: named, and the start ends
                raise PluginError(f"{hook} failed: {error!r}", plugin=impl.plugin_name) from error

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self.plugins.hook, hook)
        return caller.get_hookimpls()[::-1]  # pluggy keeps them in reverse calling order

    async def _call(self, hook: str, impl: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
        spec = getattr(self._specs, hook)
        allowed: tuple[type, ...] | None = spec.rmail_answers
        try:
            with HOOK_SECONDS.labels(hook, impl.plugin_name).time():
                answer = impl.function(*[arguments[name] for name in impl.argnames])
                if inspect.isawaitable(answer):
                    answer = await self._awaited(answer, spec.rmail_deadline_s)
            if allowed is not None and answer is not None and not isinstance(answer, allowed):
                raise TypeError(f"{hook} returned {type(answer).__name__}")
        except (Exception, SystemExit) as error:
            # A stranger's code: named in the log, one known error for us. A library that exits
            # must not take the worker along.
            plugin = impl.plugin_name
            HOOK_ERRORS.labels(hook, plugin).inc()
            _log.exception("hook failed", hook=hook, plugin=plugin, reason=repr(error))
            safe = "Temporary failure, try again later"
            raise Temporary(safe, hook=hook, plugin=plugin) from error
        return answer

    async def _awaited(self, answer: Awaitable[Any], deadline_s: float) -> Any:
        """The answer of a coroutine. One that does not end at its deadline, or with its caller, is
        cancelled and left to itself: it may swallow that, and nobody waits for it then.
        """
        task = asyncio.ensure_future(_contained(answer))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=deadline_s)
        finally:
            is_late = not task.done()
            task.cancel()
        if is_late:
            raise DeadlinePassed(f"passed its deadline of {deadline_s} s")
        return task.result()

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # told by `_call`, unless nobody waits any more


class DeadlinePassed(Exception):
    """An implementation took too long."""


def _is_optional(caller: pluggy.HookCaller, plugin: object) -> bool:
    """Whether each of a plugin's implementations of a hook is marked so."""
    own = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
    return all(impl.optionalhook for impl in own)


async def _contained(answer: Awaitable[Any]) -> Any:
    """Keeps a task from ending the event loop, and a made-up cancellation from looking real."""
    try:
        return await answer
    except (SystemExit, asyncio.CancelledError) as error:
        raise RuntimeError(f"ended with {type(error).__name__}") from error
