"""The life of an embedded server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from runner.embedded import THROWAWAY, Binaries, EmbeddedServer, find_binaries
from runner.errors import BackfillError, UsageError
from tests.plugins.database import MakeServer


def _ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _remember(server: EmbeddedServer) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("create table kept as select 42 as n")


@pytest.mark.parametrize("binaries", find_binaries(), ids=lambda found: found.version)
def test_every_version_found_starts(server_folder: Path, binaries: Binaries) -> None:
    """Whatever binaries are found run as a server of the version they were said to be."""
    folder = server_folder / f"version-{binaries.version}"
    server = EmbeddedServer(folder, bindir=binaries.bindir, settings=THROWAWAY)
    try:
        server.start()
        assert str(_ask(server, "show server_version")).split()[0] == binaries.version
    finally:
        server.remove()
    assert not folder.exists()


def test_stop_and_start_keep_data(own_server: EmbeddedServer) -> None:
    """What was committed is there after a stop and a start, at the same URL."""
    _remember(own_server)
    url = own_server.url()
    own_server.stop()
    assert not own_server.running
    own_server.start()
    assert own_server.url() == url
    assert _ask(own_server, "select n from kept") == 42


def test_restart_cuts_open_connections(own_server: EmbeddedServer) -> None:
    """A restart does not wait for its clients, not even for one in a transaction."""
    with closing(psycopg.connect(own_server.url())) as connection:
        connection.execute("select 1")
        own_server.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert _ask(own_server, "select 1") == 1


def test_killed_server_comes_back(own_server: EmbeddedServer) -> None:
    """After kill -9, with clients connected, a start recovers what was committed."""
    _remember(own_server)
    with closing(psycopg.connect(own_server.url())) as connection:
        connection.execute("select 1")
        own_server.kill()
        assert not own_server.running
        own_server.start()
    assert _ask(own_server, "select n from kept") == 42


def test_start_and_stop_twice_do_nothing_more(own_server: EmbeddedServer) -> None:
    """Starting a running server leaves it alone, and so does stopping a stopped one."""
    pid = own_server.pid
    own_server.start()
    assert own_server.pid == pid
    own_server.stop()
    own_server.stop()
    assert own_server.pid is None


def test_two_servers_at_once(make_server: MakeServer) -> None:
    """Two servers run side by side, each with its own data."""
    with make_server() as one, make_server() as other:
        _remember(one)
        assert _ask(one, "select n from kept") == 42
        assert _ask(other, "select to_regclass('kept')") is None


def test_starts_at_the_same_time_make_one_server(make_server: MakeServer) -> None:
    """Whoever starts a folder's server while another does so gets the same server."""
    servers = [make_server("same"), make_server("same")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(EmbeddedServer.start, servers))
    assert servers[0].pid is not None
    assert servers[0].pid == servers[1].pid


@pytest.mark.parametrize(
    "name",
    ["a, \"b\" 'c' %20?&#=\\ü", "x" * 200],
    ids=["marks", "long"],
)
def test_any_folder_name_will_do(make_server: MakeServer, name: str) -> None:
    """Spaces, punctuation and paths too long for a socket are all usable, also after a restart."""
    with make_server(name) as server:
        url = server.url()
        server.restart()
        assert server.url() == url
        assert _ask(server, "select 1") == 1
        socket = server.socket_dir
    server.remove()
    assert not socket.exists()


def test_listens_on_its_socket_only(own_server: EmbeddedServer) -> None:
    """No port is open, and nobody but the server's account can enter the socket's folder."""
    assert _ask(own_server, "show listen_addresses") == ""
    assert own_server.socket_dir.stat().st_mode & 0o777 == 0o700


def test_settings_hold_and_can_be_altered(make_server: MakeServer) -> None:
    """Settings given to the launcher apply, quotes and all, and ALTER SYSTEM overrides them."""
    settings = {**THROWAWAY, "cluster_name": "it's a \\ test", "max_connections": "17"}
    with make_server(settings=settings) as server:
        assert _ask(server, "show cluster_name") == "it's a \\ test"
        assert _ask(server, "show max_connections") == "17"
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("alter system set max_connections = 23")
        server.restart()
        assert _ask(server, "show max_connections") == "23"


def test_durable_unless_asked_otherwise(make_server: MakeServer) -> None:
    """A server without settings flushes every commit to disk."""
    with make_server(settings={}) as server:
        assert _ask(server, "show fsync") == "on"
        assert _ask(server, "show synchronous_commit") == "on"


def test_failed_start_is_one_line_with_the_cause(make_server: MakeServer) -> None:
    """A server that gives up is reported in one line that says why, and leaves nothing running."""
    server = make_server(settings={"shared_buffers": "plenty"})
    with pytest.raises(BackfillError) as caught:
        server.start()
    assert "shared_buffers" in str(caught.value)
    assert str(server.log_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not server.running


def test_setting_with_a_line_break_is_refused(make_server: MakeServer) -> None:
    """A value can't smuggle a second setting into the configuration."""
    with pytest.raises(UsageError, match="cluster_name"):
        make_server(settings={"cluster_name": "a'\nfsync = 'off"}).start()


def test_folder_with_other_files_is_refused(server_folder: Path) -> None:
    """A folder that holds something else is neither used nor changed."""
    folder = server_folder / "photographs"
    folder.mkdir(mode=0o755)
    (folder / "cat.jpg").touch()
    with pytest.raises(BackfillError, match="other files"):
        EmbeddedServer(folder).start()
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.iterdir()] == ["cat.jpg"]


def test_missing_folder_is_not_running(server_folder: Path) -> None:
    """Asking after or stopping a server that never was makes no folder."""
    server = EmbeddedServer(server_folder / "never")
    assert not server.running
    server.stop()
    assert not server.data_dir.exists()
