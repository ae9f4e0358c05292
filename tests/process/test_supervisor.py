"""The supervisor and its workers, as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path

from tests.process.conftest import Client, ServerProcess, wait_for_end


def test_ports_are_published_once_workers_accept_and_retracted_at_the_end(
    server: ServerProcess,
) -> None:
    server.start(2)
    published = server.mail_root / "run" / "ports.json"
    assert json.loads(published.read_text()) == server.ports
    assert set(server.ports) == {"probe", "probes"}
    server.signal(signal.SIGTERM)
    assert server.end() == 0
    assert not published.exists()


def test_a_killed_worker_is_replaced_and_the_port_goes_on_accepting(server: ServerProcess) -> None:
    server.start(1)
    first = server.pid()
    os.kill(first, signal.SIGKILL)
    assert server.pid() != first  # queued until the new worker accepts
    assert f'"worker":{first},"how":"was ended by SIGKILL"' in server.errors()


def test_other_workers_keep_their_sessions_when_one_is_killed(server: ServerProcess) -> None:
    server.start(2)
    with server.connect() as client:
        own = int(client.ask("pid"))
        other = (server.pids(2) - {own}).pop()
        os.kill(other, signal.SIGKILL)
        wait_for_end(other)
        assert client.ask("ping") == "pong"


def test_workers_end_when_the_supervisor_is_killed(server: ServerProcess) -> None:
    server.start(2)
    with server.connect() as client:
        assert client.ask("ping") == "pong"  # an open session does not hold them up
        pids = server.pids(2)
        server.signal(signal.SIGKILL)
        for pid in pids:
            wait_for_end(pid)
    server.start(1)  # neither lock nor port is left behind
    assert server.pid() not in pids


def test_a_server_takes_its_ports_back_at_once_after_it_was_killed(server: ServerProcess) -> None:
    server.start(1)
    server.configure(probe={"port": server.ports["probe"]}, tls={"enabled": False})
    for workers in (1, 0, 1):
        server.signal(signal.SIGKILL)
        server.end()
        server.start(workers)
        with server.connect() as client:
            assert client.ask("ping") == "pong"


def test_a_second_server_of_the_store_is_refused_in_one_line(server: ServerProcess) -> None:
    server.start(1)
    first = server.process
    server.log.write_text("")
    for workers in (1, 0):
        server.spawn(workers)
        assert server.end() == 2
    lines = server.errors().splitlines()
    assert lines == 2 * [
        f"rmail: mail_root: {server.mail_root} is served already, by process {first.pid}"
    ]
    assert first.poll() is None


def test_a_port_in_use_ends_the_start_in_one_line_and_makes_no_store(
    server: ServerProcess,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        server.configure(probe={"port": port})
        for workers in (1, 0):
            server.spawn(workers)
            assert server.end() == 2
    [line, again] = server.errors().splitlines()
    assert line == again
    assert f"port {port} on 127.0.0.1 is in use by" in line
    assert f"pid {os.getpid()}" in line
    assert not server.mail_root.exists()


def test_a_plugin_that_cannot_start_ends_the_start_with_its_reason(server: ServerProcess) -> None:
    server.environ["PROBE_FAIL"] = str(server.config)
    server.spawn(2)
    assert server.end() == 1
    lines = [line for line in server.errors().splitlines() if line.startswith("rmail: ")]
    assert len(lines) == 1
    assert lines[0].startswith("rmail: plugin probe: on_start failed: ValueError(")


def test_a_worker_that_cannot_start_again_is_tried_until_it_can(
    server: ServerProcess, tmp_path: Path
) -> None:
    obstacle = tmp_path / "obstacle"
    server.environ["PROBE_FAIL"] = str(obstacle)
    server.start(1)
    obstacle.touch()
    os.kill(server.pid(), signal.SIGKILL)
    while server.errors().count("on_start failed") < 2:
        os.sched_yield()
    obstacle.unlink()
    assert server.pid()
    assert server.process.poll() is None


def test_a_worker_that_is_told_to_end_finishes_its_sessions_and_is_replaced(
    server: ServerProcess,
) -> None:
    server.start(1)
    with server.connect() as client:
        first = int(client.ask("pid"))
        os.kill(first, signal.SIGTERM)
        assert client.ask("ping") == "pong"
        client.ask("bye")
    wait_for_end(first)
    assert server.pid() != first


def test_a_bad_certificate_ends_the_start_in_one_line(server: ServerProcess) -> None:
    server.configure(tls={"cert_file": "none.crt", "key_file": "none.key"})
    for workers in (1, 0):
        server.spawn(workers)
        assert server.end() == 2
    where = server.config.with_name("none.crt")
    line = f"rmail: tls.cert_file: cannot read {where}: No such file or directory"
    assert server.errors().splitlines() == [line, line]


def test_sigterm_during_the_start_ends_it(
    server: ServerProcess, notifications: socket.socket, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server.environ["PROBE_GATE"] = str(gate)
    server.spawn(1)
    with gate.open("wb"):  # opens when the worker is in on_start
        server.signal(signal.SIGTERM)
        assert notifications.recv(1000) == b"STOPPING=1"
    assert server.end() == 0
    assert not (server.mail_root / "run" / "ports.json").exists()
    assert server.errors() == ""


def test_a_plugin_may_print_without_disturbing_its_supervisor(server: ServerProcess) -> None:
    server.environ["PROBE_PRINT"] = "hello from a plugin"
    server.start(1)
    assert "hello from a plugin\n" in server.errors()
    assert server.pid()


def test_a_store_that_is_no_folder_ends_the_start_in_one_line(server: ServerProcess) -> None:
    server.mail_root.write_text("in the way")
    for workers in (1, 0):
        server.spawn(workers)
        assert server.end() == 2
    [line, again] = server.errors().splitlines()
    assert line == again
    assert line.startswith("rmail: mail_root: cannot use ")


def test_a_wrong_setting_found_by_workers_ends_with_code_2(server: ServerProcess) -> None:
    server.configure(storage={"driver": "nothing"})
    server.spawn(2)
    assert server.end() == 2
    assert "rmail: storage.driver: no such driver" in server.errors()


def test_sigterm_refuses_new_connections_and_lets_sessions_finish(server: ServerProcess) -> None:
    server.start(2)
    pids = server.pids(2)
    with server.connect() as client:
        own = int(client.ask("pid"))
        server.signal(signal.SIGTERM)
        for pid in pids - {own}:
            wait_for_end(pid)
        assert client.ask("ping") == "pong"
        assert server.process.poll() is None
        client.ask("bye")
    assert server.end() == 0


def test_sessions_that_do_not_finish_are_cut_after_drain_s(server: ServerProcess) -> None:
    server.configure(process={"drain_s": 0.1})
    server.start(1)
    with server.connect() as client:
        assert client.ask("ping") == "pong"
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        assert client.line() == ""
    assert "sessions were cut" in server.errors()


def test_a_second_interrupt_ends_at_once(server: ServerProcess) -> None:
    server.start(1)
    with server.connect() as client:
        pid = int(client.ask("pid"))
        server.signal(signal.SIGINT)
        while (server.mail_root / "run" / "ports.json").exists():
            os.sched_yield()
        server.signal(signal.SIGINT)
        assert server.end() == 130
    wait_for_end(pid)


def test_a_change_in_one_worker_reaches_a_session_of_another(server: ServerProcess) -> None:
    server.start(2)
    with server.connect() as watcher:
        own = watcher.ask("pid")
        assert watcher.ask("watch") == "watching"
        with connect_elsewhere(server, own) as publisher:
            publisher.ask("publish")
        assert watcher.line() == "mail 1 42"


def test_metrics_are_summed_over_workers(server: ServerProcess) -> None:
    server.start(2)
    with server.connect() as one, connect_elsewhere(server, one.ask("pid")) as other:
        for client in (one, other, other):
            client.ask("ping")
        assert one.ask("metrics") == other.ask("metrics") == "probe_pings_total 3.0"


def test_a_singleton_task_runs_in_one_worker_and_moves_when_that_is_killed(
    server: ServerProcess,
) -> None:
    server.start(2)
    with server.connect() as one, connect_elsewhere(server, one.ask("pid")) as other:
        clients = [one, other]
        holder = next(item for item in clients if item.ask("lease") == "yes")
        clients.remove(holder)
        assert clients[0].ask("lease") == "no"
        os.kill(int(holder.ask("pid")), signal.SIGKILL)
        while clients[0].ask("lease") == "no" and not lease_elsewhere(
            server, clients[0].ask("pid")
        ):
            continue


def test_the_run_folder_is_private(server: ServerProcess) -> None:
    server.start(1)
    assert stat.S_IMODE((server.mail_root / "run").stat().st_mode) == 0o700


def connect_elsewhere(server: ServerProcess, pid: str) -> Client:
    """A connection to another worker than `pid`."""
    while True:
        client = server.connect()
        if client.ask("pid") != pid:
            return client
        client.__exit__()


def lease_elsewhere(server: ServerProcess, pid: str) -> bool:
    """Whether the replacement worker holds the lease."""
    with connect_elsewhere(server, pid) as client:
        return client.ask("lease") == "yes"
