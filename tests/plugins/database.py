"""A server for the session, and an empty or a cloned database for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from runner.embedded import THROWAWAY, EmbeddedServer, find_binaries
from tests.plugins.copies import Copies
from tests.plugins.pgbouncer import PgBouncer
from tests.plugins.servers import Server, any_server, open_folder

Builder = Callable[[str], object]
"""Fills a new database, given its URL; leaves no connection open."""

_origin = pytest.StashKey[str]()
_numbers = count(1)


@dataclass
class Database:
    """A database of a test's own."""

    name: str
    url: str
    direct: str
    """The same without a pooler between."""
    connections: list[psycopg.Connection[Any]] = field(default_factory=list)

    @property
    def pooled(self) -> bool:
        """Whether there is a pooler between."""
        return self.url != self.direct

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection, closed when the test ends; `options` are those of psycopg.connect."""
        connection = psycopg.connect(self.url, **options)
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections made here."""
        for connection in self.connections:
            connection.close()


class NewDatabase(Protocol):
    """Makes a database for this test, empty or a copy of a template."""

    def __call__(self, *, template: str | None = None) -> Database: ...


class DatabaseTemplate(Protocol):
    """Builds the template database `name` at the first call; returns what `new_database` takes."""

    def __call__(self, name: str, builder: Builder) -> str: ...


class MakeServer(Protocol):
    """Makes an embedded server, not yet started; its files are removed when the test ends.

    `name` is a path below the session's folder for servers, by default one of its own.
    """

    def __call__(
        self,
        name: str | None = None,
        *,
        settings: Mapping[str, str] = THROWAWAY,
        detached: bool = False,
    ) -> EmbeddedServer: ...


def with_dbname(url: str, dbname: str) -> str:
    """The same connection URL for another database."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise pytest.UsageError("TEST_DATABASE_URL should look like postgresql://user@host/dbname")
    return parts._replace(path=f"/{quote(dbname, safe='')}").geturl()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which server the database tests ran on."""
    origin = config.stash.get(_origin, None)
    if origin:
        terminalreporter.write_line(f"database server: {origin}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints the summary which server this one used."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["database_server"] = session.config.stash.get(_origin, None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Note which server a process of pytest-xdist used."""
    origin = getattr(node, "workeroutput", {}).get("database_server")
    if origin:
        node.config.stash[_origin] = origin


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Each process has a server of its own, and one more than there are cores, since many tests
    wait for something. For a server that is given there is one process.
    """
    return 1 if os.environ.get("TEST_DATABASE_URL") else min(4, (os.cpu_count() or 1) + 1)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """The session's folder for servers' files: short, and open to the account they run as."""
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _server(server_folder: Path, pytestconfig: pytest.Config) -> Iterator[Server]:
    with any_server(server_folder / "session") as server:
        with psycopg.connect(server.url) as connection:
            version = connection.info.parameter_status("server_version")
        pytestconfig.stash[_origin] = f"PostgreSQL {version}, {server.origin}"
        yield server


@pytest.fixture(scope="session")
def server_url(_server: Server) -> str:
    """The URL of a database of a running server, as its superuser."""
    return _server.url


@pytest.fixture(scope="session")
def database_template(server_url: str) -> Iterator[DatabaseTemplate]:
    """See `DatabaseTemplate`."""
    built: dict[str, str] = {}

    def template(name: str, builder: Builder) -> str:
        if name not in built:
            full = f"pgbackfill_template_{os.getpid()}_{next(_numbers)}"
            _execute(server_url, "create database {} template template0", full)
            built[name] = full
            builder(with_dbname(server_url, full))
            # Nobody can connect, so that it can be copied at any time.
            _execute(server_url, "alter database {} allow_connections false", full)
        return built[name]

    yield template
    for full in built.values():
        _execute(server_url, "drop database {} with (force)", full)


def database_of(server_url: str, name: str, pooled_by: PgBouncer | None) -> Database:
    """The database of this name, through the pooler where there is one."""
    direct = with_dbname(server_url, name)
    return Database(name, pooled_by.url(direct) if pooled_by else direct, direct)


@pytest.fixture(scope="session")
def _copies(server_url: str) -> Iterator[dict[str, Copies]]:
    copies: dict[str, Copies] = {}
    yield copies
    for found in copies.values():
        found.close()


@pytest.fixture
def new_database(
    server_url: str, pooled_by: PgBouncer | None, _copies: dict[str, Copies]
) -> Iterator[NewDatabase]:
    """See `NewDatabase`."""
    with ExitStack() as stack:

        def create(*, template: str | None = None) -> Database:
            if template is None:
                name = f"pgbackfill_test_{os.getpid()}_{next(_numbers)}"
                _execute(server_url, "create database {} template template0", name)
                stack.callback(_execute, server_url, "drop database {} with (force)", name)
            else:
                copies = _copies.setdefault(template, Copies(server_url, template))
                name = copies.take()
                stack.callback(copies.give_back, name)
            database = database_of(server_url, name, pooled_by)
            stack.callback(database.close)
            return database

        yield create


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """A fresh, empty database."""
    return new_database()


@pytest.fixture
def make_server(server_folder: Path) -> Iterator[MakeServer]:
    """See `MakeServer`."""
    if not find_binaries():
        pytest.skip("found no PostgreSQL binaries to start a server with")
    with ExitStack() as cleanup:

        def make(
            name: str | None = None,
            *,
            settings: Mapping[str, str] = THROWAWAY,
            detached: bool = False,
        ) -> EmbeddedServer:
            folder = server_folder / (name or f"own-{next(_numbers)}")
            server = EmbeddedServer(folder, settings=settings, detached=detached)
            cleanup.callback(server.remove)
            return server

        yield make


@pytest.fixture
def own_server(make_server: MakeServer) -> EmbeddedServer:
    """A running server of this test's own, which it may kill and restart."""
    server = make_server()
    server.start()
    return server


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
