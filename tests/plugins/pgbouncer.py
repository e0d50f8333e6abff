"""A real PgBouncer in transaction mode before the tests' server.

With `--pooled` every database that a test asks for is reached through it; see `make test-pooled`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runner.embedded.account import server_account
from runner.embedded.guard import Guard
from tests.plugins.waiting import wait_until

MISSING = (
    "found no pgbouncer on PATH or in /usr/sbin (install your system's package of it, "
    "or run .ci/packages)"
)

PORT = 6432
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
_UNPACKED = Path(sys.prefix) / "pgbouncer"
"""Where .ci/packages unpacks Debian's package for those who may not install it."""

_SETTINGS = """\
[databases]
* = {server} auth_user={user} connect_query='set statement_timeout = 30000'

[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
unix_socket_mode = 0777
logfile = {folder}/log
auth_type = trust
auth_query = select usename, passwd from pg_shadow where usename = $1
auth_file = {folder}/users
pool_mode = transaction
# a client's next transaction is on another server session wherever there is another
server_round_robin = 1
min_pool_size = {spare}
default_pool_size = 40
max_client_conn = 500
"""


_SESSIONS = """
select count(*) from pg_stat_activity
 where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
   and state = 'idle'
"""
_LEFT = """
select format('role = %s', current_user) where current_user <> session_user
union all
select format('%s = %s', name, setting) from pg_settings
 where source = 'session' and (name, setting) <> ('statement_timeout', '30000')
   and name not in ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
                    'standard_conforming_strings')
"""


def find_pgbouncer() -> Path | None:
    """The program: on PATH, where systems keep it, or unpacked by .ci/packages."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    found = shutil.which("pgbouncer", path=places)
    if found is None:
        found = shutil.which("pgbouncer", path=_UNPACKED / "usr" / "sbin")
    return Path(found) if found else None


def _with_libraries(program: Path) -> list[str | Path]:
    """The command's first words; a package that was unpacked has its libraries beside it."""
    if not program.is_relative_to(_UNPACKED):
        return [program]
    folders = sorted({found.parent for found in _UNPACKED.glob("usr/lib/**/*.so*")})
    return ["/usr/bin/env", "LD_LIBRARY_PATH=" + ":".join(map(str, folders)), program]


class PgBouncer:
    """Pools connections to the server of `url`, which has to let this machine's users in without
    a password. Its files are in `folder`, which is made.

    `spare` sessions are kept for each login and database, so that a client with the pooler to
    itself changes sessions, too.
    """

    def __init__(self, program: Path, url: str, folder: Path, *, spare: int = 3) -> None:
        self._program = program
        self._server = conninfo_to_dict(url)
        self._folder = folder
        self._spare = spare
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it wrote to its log."""
        found = self._folder / "log"
        return found.read_text() if found.exists() else ""

    def url(self, url: str) -> str:
        """A URL of a database of its server, by way of the pooler."""
        return make_conninfo(url, host=str(self._folder), port=PORT)

    def left_behind(self, url: str) -> set[str]:
        """Settings that a client left to others in idle sessions of a database, given its direct
        URL; those that the pooler itself sees to don't count.
        """
        with ExitStack() as stack:
            look = stack.enter_context(psycopg.connect(url, autocommit=True))
            sessions = look.execute(_SESSIONS).fetchone() or (0,)
            found: set[str] = set()
            for _ in range(sessions[0]):
                # each in a transaction, so that the next is on another session
                on = stack.enter_context(psycopg.connect(self.url(url)))
                found |= {name for (name,) in on.execute(_LEFT)}
        return found

    def start(self) -> None:
        """Start it; return once it answers.

        It refuses to be root, and a start that failed says nothing: hence the account, and the
        connection that proves it.
        """
        account = server_account()
        self._folder.mkdir(exist_ok=True)
        # clients are root, others' tests are not
        self._folder.chmod(0o755)
        account.give(self._folder)
        self._write("users", "")
        self._write("settings.ini", self._settings())
        command = [*_with_libraries(self._program), self._folder / "settings.ini"]
        with (self._folder / "output").open("wb") as output:
            self._process = account.popen(command, output=output)
        self._guard = Guard(self._process.pid)
        try:
            wait_until(self._answers_or_ended)
            if self._process.poll() is not None:
                said = (self._folder / "output").read_text() or self.log
                raise AssertionError(f"pgbouncer ended at its start; it said: {said}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it at once, clients or not."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def _settings(self) -> str:
        parts = {name: self._server.get(name) for name in ("host", "port")}
        return _SETTINGS.format(
            server=" ".join(f"{name}={value}" for name, value in parts.items() if value),
            user=self._server.get("user") or "postgres",
            folder=self._folder,
            port=PORT,
            spare=self._spare,
        )

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o644)

    def _answers_or_ended(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        dbname = str(self._server.get("dbname") or "postgres")
        try:
            psycopg.connect(self.url(make_conninfo("", **self._server)), dbname=dbname).close()
        except psycopg.OperationalError:
            return False
        return True


# --- for the tests --------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--pooled`."""
    parser.addoption(
        "--pooled",
        action="store_true",
        help="reach the tests' databases through a PgBouncer in transaction mode",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker `direct`."""
    config.addinivalue_line(
        "markers",
        "direct(reason): the test itself needs a session of its own at the server, for this "
        "reason; skipped with --pooled",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a session of its own, with the reason."""
    for item in items:
        for mark in item.iter_markers("direct"):
            (reason,) = mark.args
            if config.getoption("--pooled"):
                item.add_marker(pytest.mark.skip(reason=f"needs a session of its own: {reason}"))


@pytest.fixture(scope="session")
def pooler(server_url: str, server_folder: Path) -> Iterator[PgBouncer]:
    """A running PgBouncer before the session's server."""
    program = find_pgbouncer()
    if program is None:
        pytest.skip(MISSING)
    if conninfo_to_dict(server_url).get("password"):
        pytest.skip("the server asks for a password, which this PgBouncer has none of")
    with PgBouncer(program, server_url, server_folder / "pooler") as found:
        yield found


@pytest.fixture(scope="session")
def pooled_by(request: pytest.FixtureRequest) -> PgBouncer | None:
    """The pooler that every database is reached through, with `--pooled`."""
    if not request.config.getoption("--pooled"):
        return None
    if find_pgbouncer() is None:
        pytest.exit(MISSING)
    found: PgBouncer = request.getfixturevalue("pooler")
    return found
