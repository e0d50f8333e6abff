"""A web server on a database with every built-in task, called without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from psycopg.rows import dict_row

from runner.web.app import create_app
from runner.web.settings import Settings
from tests.cli.conftest import install_everything
from tests.engine.roles import login
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase, database_of
from tests.plugins.engine import TABLES, EngineDatabases
from tests.plugins.pgbouncer import PgBouncer

ROLES = ("viewer", "operator", "admin")
REFUSED = ("nobody", "revoked", "expired", "unknown")


class Client:
    """Calls an application in this process, from any thread."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self.app = app
        self._portal = portal
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://testserver",
        )

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        """The answer; redirects are not followed."""
        return self._portal.call(partial(self._client.request, method, path, **how))


@dataclass
class Web:
    """A server over a database of the test's own. Its login is a member of backfill_server only."""

    database: Database
    client: Client
    connection: psycopg.Connection[dict[str, Any]]
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in ROLES:
            self.secrets[role] = self.value("select backfill.create_token(%s, %s)", role, role)
        for name in ("revoked", "expired"):
            self.secrets[name] = self.value("select backfill.create_token(%s, 'admin')", name)
        self.run("select backfill.revoke_token('revoked')")
        self.run(
            "update backfill.token set created_at = now() - interval '2 days',"
            " expires_at = now() - interval '1 day' where name = 'expired'"
        )
        self.secrets["unknown"] = "bft_" + "A" * 43

    def run(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What a statement returns, as the database's owner."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: Any) -> Any:
        """The only column of the only row."""
        (row,) = self.run(query, *parameters)
        (value,) = row.values()
        return value

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str = "operator",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request with the token of a role, or without one (`nobody`)."""
        given = dict(headers or {})
        if by != "nobody":
            given["Authorization"] = f"Bearer {self.secrets[by]}"
        sent = {} if body is None else {"json": body}
        return self.client.request(method, path, headers=given, **sent)

    def get(self, path: str, *, by: str = "viewer") -> Any:
        """The JSON of a GET that succeeds; paths without a leading slash are below /api/v1."""
        answer = self.ask("GET", path if path.startswith("/") else f"/api/v1/{path}", by=by)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def events(self, action: str) -> list[dict[str, Any]]:
        """The audit's rows of this action, the oldest first."""
        return self.run("select * from backfill.event where action = %s order by id", action)

    def vehicles(self, count: int) -> list[str]:
        """Adds vehicles with a picture each; their keys."""
        rows = self.run(
            "insert into public.vehicles (origin_metadata)"
            " select jsonb_build_object('image_urls', jsonb_build_array("
            " 'https://pictures.test/' || n || '.jpg')) from generate_series(1, %s) n"
            " returning id::text",
            count,
        )
        return [row["id"] for row in rows]


@contextmanager
def serving(
    database: Database, parts: Sequence[str] = (), conninfo: str | None = None, **settings: Any
) -> Iterator[Web]:
    """A server over this database, with the API and these parts, by default with a login of
    its own that is a member of backfill_server and nothing else.
    """
    with ExitStack() as stack:
        conninfo = conninfo or stack.enter_context(login(database.url, "backfill_server"))
        app = create_app(Settings(conninfo=conninfo, connections=2, **settings), parts=parts)
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        connection = psycopg.connect(
            database.direct, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )
        database.connections.append(connection)
        yield Web(database, Client(app, portal), connection)


def put_back(connection: psycopg.Connection[Any]) -> None:
    """Let the rows be as they were, but for tokens, which no test takes away."""
    with connection.transaction():
        # the audit lets nobody delete from it while its trigger is on
        connection.execute("set local session_replication_role = replica")
        for table in ("images", "vehicles", "organization_vehicles", "vehicle_images"):
            connection.execute(f"delete from public.{table}".encode())
        for table in TABLES:
            if table != "token":
                connection.execute(f"delete from backfill.{table}".encode())
                connection.execute(
                    f"insert into backfill.{table} overriding system value"
                    f" table saved.{table}".encode()
                )


@pytest.fixture(scope="session")
def api_server(
    server_url: str, database_template: DatabaseTemplate, pooled_by: PgBouncer | None
) -> Iterator[Web]:
    """One server for all tests of the API: making one costs more than most tests do."""
    template = database_template("complete", install_everything)
    name = f"{template}_served"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"create database {name} template {template}".encode())
        database = database_of(server_url, name, pooled_by)
        EngineDatabases.save_rows(database.direct)
        with serving(database) as made:
            yield made
        database.close()
        server.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def web(api_server: Web) -> Iterator[Web]:
    """See `Web`; the API alone, on rows as they are after the installation."""
    yield api_server
    put_back(api_server.connection)


@pytest.fixture
def web_database(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with every built-in task, for a server of the test's own; see `serving`."""
    return new_database(template=database_template("complete", install_everything))
