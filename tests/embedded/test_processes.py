"""Which processes a server outlives, which it dies with, and which are none of its business."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from runner.embedded import EmbeddedServer
from runner.embedded.account import server_account
from runner.embedded.postmaster import is_server_by_ps, is_server_of
from tests.plugins.database import MakeServer
from tests.plugins.waiting import wait_until

_STARTER = """
import sys
from pathlib import Path
from runner.embedded import THROWAWAY, EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), settings=THROWAWAY, detached=sys.argv[2] == "detached")
{start}
print(server.pid, flush=True)
sys.stdin.read()
"""
_IN_THREAD = """
import threading
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
"""


@contextmanager
def _starter(
    server: EmbeddedServer, mode: str, *, start: str = "server.start()"
) -> Iterator[subprocess.Popen[str]]:
    """A process that has started `server` and waits for the end of its input."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTER.format(start=start), str(server.data_dir), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == server.pid
        yield process
        process.kill()


@contextmanager
def _bystander(cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A live process of the server's own account, with a working folder like the server's."""
    process = server_account().popen(
        ["/bin/sh", "-c", 'cd "$1" && exec sleep 600', "sh", cwd], output=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _blame(server: EmbeddedServer, pid: int) -> None:
    """Write `pid` into the pid file that a crashed server left."""
    path = server.data_dir / "pgdata" / "postmaster.pid"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([str(pid), *lines[1:]]) + "\n")


def test_dies_with_its_parent(make_server: MakeServer) -> None:
    """A server ends by itself when the process that started it is killed."""
    server = make_server()
    with _starter(server, "child") as parent:
        parent.kill()
        wait_until(lambda: not server.running)


def test_outlives_the_thread_that_started_it(make_server: MakeServer) -> None:
    """A server lives on when only the starting thread has ended."""
    server = make_server()
    with _starter(server, "child", start=_IN_THREAD):
        psycopg.connect(server.url()).close()
        assert server.running


def test_is_spared_a_ctrl_c(make_server: MakeServer) -> None:
    """An interrupt at the terminal reaches the program, which may still need its server."""
    server = make_server()
    with _starter(server, "child") as parent:
        pid = server.pid
        assert pid is not None
        assert os.getpgid(pid) != os.getpgid(parent.pid)


def test_detached_outlives_its_parent(make_server: MakeServer) -> None:
    """A detached server stays when its starter was killed; it is found again and stopped."""
    server = make_server(detached=True)
    with _starter(server, "detached") as parent:
        pid = server.pid
        parent.kill()
    psycopg.connect(server.url()).close()
    server.start()
    assert server.pid == pid
    server.stop()
    assert not server.running


def test_detached_does_not_hold_its_callers_output(make_server: MakeServer) -> None:
    """A command that starts a detached server ends for whoever reads its output, too."""
    server = make_server(detached=True)
    with _starter(server, "detached") as parent:
        output, _ = parent.communicate("", timeout=30)
        assert output == ""
        assert server.running


def test_stale_pid_of_another_process(own_server: EmbeddedServer) -> None:
    """A process that got a crashed server's number is left alone, and the server starts."""
    own_server.kill()
    pgdata = own_server.data_dir / "pgdata"
    with _bystander(pgdata) as bystander:
        _blame(own_server, bystander.pid)
        assert not own_server.running
        own_server.stop()
        own_server.kill()
        own_server.start()
        psycopg.connect(own_server.url()).close()
        own_server.stop()
        assert bystander.poll() is None


def test_stale_pid_of_another_server(own_server: EmbeddedServer, make_server: MakeServer) -> None:
    """Nor is another PostgreSQL server that got the number taken for this one."""
    with make_server() as other:
        own_server.kill()
        assert other.pid is not None
        _blame(own_server, other.pid)
        own_server.stop()
        own_server.kill()
        own_server.start()
        assert other.running
        assert own_server.pid != other.pid


def test_stopped_process_is_no_zombie_server(own_server: EmbeddedServer) -> None:
    """A server killed from outside counts as gone before anybody has collected its process."""
    pid = own_server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_server_of(own_server.data_dir / "pgdata", pid))
    own_server.start()
    assert own_server.pid != pid


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps command here")
def test_recognised_by_command_line(own_server: EmbeddedServer) -> None:
    """The command line, all that macOS shows of a process, tells this server from others."""
    pgdata = own_server.data_dir / "pgdata"
    pid = own_server.pid
    assert pid is not None
    assert is_server_by_ps(pgdata, pid)
    assert not is_server_by_ps(pgdata.with_name("pg"), pid)
    assert not is_server_by_ps(pgdata, os.getpid())
    own_server.kill()
    assert not is_server_by_ps(pgdata, pid)
