"""Copies of a template database that one test after another uses.

To make a copy costs more than most tests do. So one that was used is given to the next test, with
its rows put back; where more than rows was changed it is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
from psycopg import sql

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

OTHERS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'
"""


@dataclass(frozen=True)
class _State:
    """What a copy is when it is new."""

    catalogue: str
    size: int
    empty: bytes
    rows: dict[str, bytes]
    """Rows by the name of the table with its columns, as COPY has them."""

    @property
    def light(self) -> bool:
        """Whether the rows are few enough to be put back."""
        return sum(map(len, self.rows.values())) < MOST_ROWS


@dataclass
class Copies:
    """Hands out copies of one template, by name."""

    server_url: str
    template: str
    url_of: Any
    _idle: list[str] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _state: _State | None = None
