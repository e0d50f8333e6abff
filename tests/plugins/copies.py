"""Copies of a template database that one test after another uses.

To make a copy costs more than most tests do. So one that was used is given to the next test, with
its rows put back; where more than rows was changed it is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

Connection = psycopg.Connection[Any]

MOST_ROWS = 200_000
"""Bytes of rows that a template may hold for its copies to be used again."""

MOST_GROWTH = 4_000_000
"""Bytes that a database may grow by: what was deleted slows the next test down."""

# The sum of hashes doesn't depend on the order, and needs no sort.
CATALOGUE = """
select sum(hashtextextended(what, 0))::text from (
    select format('class %s %s %s %s %s %s %s', oid, relname, relowner, relacl, reloptions,
                  relrowsecurity, case when oid >= 16384 then reltuples end) as what
      from pg_class where relkind <> 't'
    union all select format('attribute %s %s %s', attrelid, attnum, xmin) from pg_attribute
     where attrelid >= 16384
    union all select format('function %s %s', oid, xmin) from pg_proc
    union all select format('rule %s %s', oid, xmin) from pg_rewrite where oid >= 16384
    union all select format('trigger %s %s', oid, xmin) from pg_trigger
    union all select format('constraint %s %s', oid, xmin) from pg_constraint where oid >= 16384
    union all select format('default %s %s', oid, xmin) from pg_attrdef
    union all select format('index %s %s', indexrelid, xmin) from pg_index where indexrelid >= 16384
    union all select format('type %s %s', oid, xmin) from pg_type where oid >= 16384
    union all select format('schema %s %s', oid, xmin) from pg_namespace
    union all select format('policy %s %s', oid, xmin) from pg_policy
    union all select format('extension %s %s', oid, xmin) from pg_extension
    union all select format('comment %s %s %s %s', objoid, classoid, objsubid, xmin)
      from pg_description where objoid >= 16384
    union all select format('default rights %s %s', oid, xmin) from pg_default_acl
    union all select format('setting %s %s', setrole, setconfig) from pg_db_role_setting s
     where setdatabase = (select oid from pg_database where datname = current_database())
    union all select format('database %s %s', datacl, datdba) from pg_database
     where datname = current_database()
    union all select format('prepared %s', gid) from pg_prepared_xacts
     where database = current_database()
) s
"""

TABLES = """
select c.oid::regclass::text as name,
       (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '')
  from pg_class c
 where c.relkind = 'r' and c.oid >= 16384 and c.relnamespace <> 'information_schema'::regnamespace
"""

SEQUENCES = """
select format('select setval(%L, %s, %L)', oid::regclass::text,
              coalesce(pg_sequence_last_value(oid), s.seqstart),
              pg_sequence_last_value(oid) is not null)
  from pg_class c join pg_sequence s on s.seqrelid = c.oid
"""

SIZE = "select pg_database_size(current_database())"

END_OTHERS = """
select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid()
   and backend_type = 'client backend'
"""


@dataclass(frozen=True)
class _State:
    """What a copy is when it is new."""

    catalogue: str
    size: int
    empty: bytes
    """Statements that delete every row and set every sequence."""

    rows: dict[str, bytes]
    """What COPY says of each table that has rows, by its name with its columns."""


class Copies:
    """Copies of one template, on the server of this URL."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._numbers = count(1)
        self._idle: list[str] = []
        self._state: _State | None = None

    def take(self) -> str:
        """The name of a database that is as the template."""
        while self._idle:
            name = self._idle.pop()
            if self._put_back(name):
                return name
            self._drop(name)
        name = f"{self._template}_{next(self._numbers)}"
        self._on_server("create database {} template {}", name, self._template)
        if self._state is None:
            with self._connected(name) as connection:
                self._state = _look(connection)
        return name

    def give_back(self, name: str) -> None:
        """Somebody is done with it.

        Its rows are put back only when it is taken again: processes of the test may still be at it.
        """
        self._idle.append(name)

    def close(self) -> None:
        """Drop what was given back."""
        for name in self._idle:
            self._drop(name)

    def _put_back(self, name: str) -> bool:
        """Let it be as the template; whether that could be done."""
        assert self._state is not None
        if sum(map(len, self._state.rows.values())) > MOST_ROWS:
            return False
        try:
            with self._connected(name) as connection:
                connection.execute(END_OTHERS)
                if (
                    _catalogue(connection) != self._state.catalogue
                    or _size(connection) > self._state.size + MOST_GROWTH
                ):
                    return False
                connection.execute(self._state.empty)
                for table, rows in self._state.rows.items():
                    with connection.cursor().copy(f"copy {table} from stdin".encode()) as copy:
                        copy.write(rows)
        except psycopg.Error:
            # renamed, dropped, closed to connections, read only: no good for another test
            return False
        return True

    def _connected(self, name: str) -> Connection:
        url = make_conninfo(self._server_url, dbname=name)
        return psycopg.connect(url, autocommit=True)

    def _drop(self, name: str) -> None:
        self._on_server("drop database if exists {} with (force)", name)

    def _on_server(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _look(connection: Connection) -> _State:
    tables: dict[str, str] = dict(connection.execute(TABLES).fetchall())
    rows = {}
    for table, columns in tables.items():
        name = f"{table} ({columns})"
        with connection.cursor().copy(f"copy {name} to stdout".encode()) as copy:
            found = b"".join(map(bytes, copy))
        if found:
            rows[name] = found
    sequences = [statement for (statement,) in connection.execute(SEQUENCES)]
    empty = [
        # triggers and foreign keys are off, so the order doesn't matter
        "set session_replication_role = replica",
        *(f"delete from {table}" for table in tables),
        *sequences,
        "select pg_stat_reset()",
    ]
    return _State(_catalogue(connection), _size(connection), ";".join(empty).encode(), rows)


def _catalogue(connection: Connection) -> str:
    (found,) = connection.execute(CATALOGUE).fetchone() or ("",)
    return str(found)


def _size(connection: Connection) -> int:
    (found,) = connection.execute(SIZE).fetchone() or (0,)
    return int(found)
