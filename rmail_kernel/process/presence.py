"""What a server leaves in {mail_root}/run while it lives: its lock and its ports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson

from rmail_kernel import runfiles
from rmail_kernel.errors import ConfigError
from rmail_kernel.process.lease import try_lock

PORTS_FILE = "ports.json"
ORPHANS_S = 5.0  # what workers may take to notice that their supervisor was killed
LOCK_FILE = "supervisor.lock"


def refuse_second(mail_root: Path) -> None:
    """Looks whether a store is served, and changes nothing.

    Raises:
        ConfigError: another server has it (with its pid).
    """
    path = mail_root / "run" / LOCK_FILE
    with _config_errors(mail_root):
        if not path.exists():
            return
        descriptor = try_lock(path)
    if descriptor is None:
        raise _served_already(mail_root, path)
    os.close(descriptor)


@contextmanager
def only_server(mail_root: Path) -> Iterator[None]:
    """Makes this process the only server of a store while the context is open.

    Raises:
        ConfigError: another server has it (with its pid), or the folder cannot be written.
    """
    with _config_errors(mail_root):
        path = runfiles.make_folder(mail_root, "run") / LOCK_FILE
        descriptor = try_lock(path)
    if descriptor is None:
        raise _served_already(mail_root, path)
    try:
        runfiles.give_to_owner(mail_root, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _config_errors(mail_root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or mail_root
        raise ConfigError(f"cannot use {where}: {error.strerror}", path="mail_root") from error


def _served_already(mail_root: Path, path: Path) -> ConfigError:
    pid = path.read_text().strip() or "unknown"
    return ConfigError(f"{mail_root} is served already, by process {pid}", path="mail_root")


def publish_ports(mail_root: Path, ports: Mapping[str, int]) -> None:
    """Writes ports.json: every worker accepts."""
    path = mail_root / "run" / PORTS_FILE
    runfiles.write(mail_root, path, orjson.dumps(dict(ports)) + b"\n", 0o644)


def was_killed(mail_root: Path) -> bool:
    """Whether the last server ended without clearing up. Its workers may take a moment to notice
    and still listen. Ask while no server runs.
    """
    return (mail_root / "run" / PORTS_FILE).exists()


def retract_ports(mail_root: Path) -> None:
    """Removes ports.json: nobody accepts any more, or not yet."""
    (mail_root / "run" / PORTS_FILE).unlink(missing_ok=True)
