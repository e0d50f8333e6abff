"""A streaming replica of an embedded server, for tests of replication lag."""

from __future__ import annotations

import subprocess
from pathlib import Path

from psycopg.conninfo import make_conninfo

from runner.embedded import THROWAWAY, EmbeddedServer
from runner.embedded.account import server_account
from runner.embedded.binaries import choose
from runner.embedded.cluster import Cluster
from tests.plugins.database import MakeServer


def streaming_replica(
    primary: EmbeddedServer, make_server: MakeServer, name: str
) -> EmbeddedServer:
    """A running replica of this server, which knows it by that name; it says each second how far
    it is.
    """
    conninfo = make_conninfo(primary.url(), application_name=name)
    settings = {
        **THROWAWAY,
        "primary_conninfo": conninfo,
        "hot_standby": "on",
        "wal_receiver_status_interval": "1s",
    }
    replica = make_server(settings=settings)
    cluster = Cluster(replica.data_dir)
    cluster.prepare(server_account())
    # what a start takes for a folder of its own
    cluster.configure(settings)
    _copy(conninfo, cluster.pgdata, replica.data_dir / "copy.log")
    replica.start()
    return replica


def _copy(conninfo: str, pgdata: Path, log: Path) -> None:
    """A base backup into this folder, which says that it is a replica's."""
    account = server_account()
    pgdata.mkdir(mode=0o700)
    account.give(pgdata)
    program = choose(None, None).bindir / "pg_basebackup"
    command: list[str | Path] = [program, "-d", conninfo, "-D", pgdata, "-X", "stream"]
    with log.open("wb") as output:
        code = account.popen([*command, "-c", "fast", "--no-sync"], output=output).wait()
    if code != 0:
        raise subprocess.CalledProcessError(code, [*map(str, command)], log.read_bytes())
    (pgdata / "standby.signal").touch()
    account.give(pgdata / "standby.signal")
