"""Tokens, and the web server's login, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.plugins.engine import Connection, Engine, Row

PG_ROLE = {
    "viewer": "backfill_reader",
    "operator": "backfill_operator",
    "admin": "backfill_admin",
}


def sha256(secret: str) -> bytes:
    """What a client sends of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def create_token(engine: Engine, name: str, role: str = "viewer", valid: Any = None) -> str:
    """The secret of a new token."""
    return str(engine.value("select backfill.create_token(%s, %s, %s)", name, role, valid))


def authenticate(engine: Engine, secret: str, *, on: Connection) -> list[Row]:
    """What the server learns of a secret."""
    return engine.rows("select * from backfill.authenticate(%s)", sha256(secret), on=on)


def log_in(
    engine: Engine,
    secret: str,
    cookie: str,
    *,
    source: str = "192.0.2.1",
    lasts: str = "12 hours",
    on: Connection,
) -> Row:
    """What comes of a log-in."""
    query = "select * from backfill.log_in(%s, %s, %s, %s)"
    return engine.one(query, sha256(secret), sha256(cookie), source, lasts, on=on)


def session_of(engine: Engine, cookie: str, *, slide: bool = True, on: Connection) -> list[Row]:
    """What the server learns of a cookie."""
    return engine.rows("select * from backfill.session_of(%s, %s)", sha256(cookie), slide, on=on)


@contextmanager
def acting(on: Connection, pg_role: str = "none", token: str = "") -> Iterator[None]:
    """A transaction as the server makes them for a token; it is committed, but for errors."""
    with on.transaction():
        on.execute("select set_config('backfill.token', %s, true)", [token])
        on.execute("select set_config('role', %s, true)", [pg_role])
        yield
