"""Becoming another user, and open files."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmail_kernel.errors import ConfigError
from rmail_kernel.process import privileges
from tests.process.conftest import ServerProcess

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_no_user_and_the_own_user_change_nothing(tmp_path: Path) -> None:
    privileges.drop(None, tmp_path)
    privileges.drop(pwd.getpwuid(os.geteuid()).pw_name, tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_an_unknown_user_is_refused_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no user 'nobody-here'") as caught:
        privileges.drop("nobody-here", tmp_path)
    assert caught.value.path == "process.user"


@as_root
def test_a_store_of_another_owner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="belongs to uid 0, not to 'nobody'"):
        privileges.drop("nobody", tmp_path)
    assert os.geteuid() == 0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users may enter; pytest's are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@as_root
@pytest.mark.parametrize("workers", [0, 1])
def test_supervisor_and_workers_become_the_user_and_the_store_is_theirs(
    server: ServerProcess, workers: int
) -> None:
    nobody = pwd.getpwnam("nobody")
    try:
        subprocess.run([sys.executable, "-c", "import email.mime"], user="nobody", check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the interpreter of this environment is closed to other users")
    server.configure(process={"user": "nobody"})
    server.start(workers)
    for pid in {server.process.pid, server.pid()}:
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert "Groups:\t0" not in status
    for path in [server.mail_root, *server.mail_root.rglob("*")]:
        assert path.stat().st_uid == nobody.pw_uid, path
    server.signal(signal.SIGTERM)
    assert server.end() == 0


def test_as_many_files_may_be_open_as_the_hard_limit_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        privileges.raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
