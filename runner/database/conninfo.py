"""Which database: `--database-url`, `DATABASE_URL`, a `.env` file, or libpq's own PG* variables."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runner.errors import UsageError

_PG_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")


def load_dotenv(folder: Path | None = None) -> None:
    """Take what `.env` in this folder sets and the environment does not."""
    path = (folder or Path.cwd()) / ".env"
    if not path.is_file():
        return
    for name, value in dotenv_values(path).items():
        if value is not None:
            os.environ.setdefault(name, value)


def resolve(url: str | None) -> str:
    """The connection string to use; an empty one means that libpq's variables say it all.

    Raises `UsageError` where nothing names a database, or what does can't be parsed.
    """
    text = url or os.environ.get("DATABASE_URL") or ""
    if not text and not any(os.environ.get(name) for name in _PG_VARIABLES):
        raise UsageError(
            "no database given; set DATABASE_URL (or the PG* variables), or pass --database-url; "
            "for one to try things on: backfill embedded start"
        )
    # Some libraries' URLs name a driver, which libpq doesn't know.
    scheme, separator, rest = text.partition("://")
    if separator and scheme.startswith("postgres") and "+" in scheme:
        text = f"postgresql://{rest}"
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        raise UsageError(
            f"the database URL can't be read ({str(error).strip()}); "
            "expected postgresql://user:password@host:5432/name"
        ) from None
    return text


def with_application_name(conninfo: str, name: str) -> str:
    """The same connection under this application_name (cut to PostgreSQL's 63 bytes)."""
    return make_conninfo(conninfo, application_name=name[:63])


def describe(conninfo: str) -> str:
    """The target in words, without user, password or parameters."""
    parts = conninfo_to_dict(conninfo)
    host = parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or "local socket"
    port = parts.get("port") or os.environ.get("PGPORT") or "5432"
    name = parts.get("dbname") or os.environ.get("PGDATABASE") or "default database"
    return f"{name} on {host}:{port}"
