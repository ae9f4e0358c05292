"""What `rmail run` does with checked settings: one process or a supervisor with workers, and how it
ends. Errors become one line on standard error and an exit code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import structlog
import uvloop

from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError, PluginError, RmailError
from rmail_kernel.net.sockets import open_listeners
from rmail_kernel.observe import logs
from rmail_kernel.process import activation, interpreter, notify, presence, privileges
from rmail_kernel.process.node import load_kernel, possible_listeners
from rmail_kernel.process.reload import Reloader
from rmail_kernel.process.single import serve_in_process
from rmail_kernel.process.supervisor import INTERRUPTED, OnReady, Supervisor

FAILED, WRONG_USE = 1, 2
_log = structlog.get_logger("rmail.main")


def run(
    settings: Settings,
    config_path: Path,
    workers: int | None,
    on_ready: OnReady | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: what to serve, options of the command line included.
        config_path: the file that SIGHUP reads again.
        workers: processes; 0: this one only; None: one per core.
        on_ready: called with the ports by listener name once all workers accept.

    Returns:
        0: ended as asked; 1: it could not start or failed; 2: a setting is wrong.
    """
    logs.configure(settings.log)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it means "reload"
    try:
        if workers == 0:
            return _run_alone(settings, config_path, on_ready)
        return _run_supervisor(settings, config_path, workers or _cores(), on_ready)
    except RmailError as error:
        print(f"rmail: {' '.join(error.safe.split())}", file=sys.stderr)
        return WRONG_USE if isinstance(error, ConfigError | PluginError) else FAILED


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _run_supervisor(
    settings: Settings, config_path: Path, workers: int, on_ready: OnReady | None
) -> int:
    with ExitStack() as stack:
        presence.refuse_second(settings.mail_root)
        kernel = load_kernel(settings)
        listeners = possible_listeners(kernel)
        patience_s = presence.ORPHANS_S if presence.was_killed(settings.mail_root) else 0.0
        sockets = open_listeners(listeners, activation.take(os.environ), patience_s)
        privileges.drop(settings.process.user, settings.mail_root)
        stack.enter_context(presence.only_server(settings.mail_root))
        supervisor = Supervisor(settings, sockets, Reloader(kernel, config_path), on_ready)
        return asyncio.run(supervisor.run(workers))


def _run_alone(settings: Settings, config_path: Path, on_ready: OnReady | None) -> int:
    privileges.raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve_alone(settings, config_path, on_ready))


async def _serve_alone(settings: Settings, config_path: Path, on_ready: OnReady | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, _interrupt, stopping)
    server = await serve_in_process(settings, activation.take(os.environ))
    interpreter.settle()
    reloader = Reloader(server.kernel, config_path)
    loop.add_signal_handler(signal.SIGHUP, reloader.reload, server.reload_soon)
    _log.info("serving", ports=server.ports, workers=0)
    notify.notify(notify.READY)
    if on_ready is not None:
        on_ready(server.ports)
    await stopping.wait()
    notify.notify(notify.STOPPING)
    await server.stop()
    return 0


def _interrupt(stopping: asyncio.Event) -> None:
    if stopping.is_set():  # the second time: at once
        os._exit(INTERRUPTED)
    stopping.set()
