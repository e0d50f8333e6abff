"""What a DBA who reads the SQL can count on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runner.database.files import sql_folder, statement
from tests.cli.conftest import Work
from tests.plugins.database import Database

ROOT = Path(__file__).parents[2]
RUNTIME = sorted(path.stem for path in (sql_folder() / "runtime").glob("*.sql"))
MONITOR = sorted(path.name for path in (sql_folder() / "monitor").glob("*.sql"))
DOCTOR = sorted(path.stem for path in (sql_folder() / "doctor").glob("*.sql"))
HEADER = ("Purpose", "Parameters", "Index", "Lock order")

UNCOMMENTED = """
with mine as (
    select c.oid, c.relname, c.relkind from pg_class c
     where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
       and c.relname <> 'alembic_version'
)
select 'relation ' || m.relname from mine m where obj_description(m.oid, 'pg_class') is null
union all
select format('column %s.%s', m.relname, a.attname)
  from mine m join pg_attribute a on a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped
 where col_description(m.oid, a.attnum) is null
union all
select 'function ' || p.oid::regprocedure from pg_proc p
 where p.pronamespace = 'backfill'::regnamespace and obj_description(p.oid, 'pg_proc') is null
"""
WITHOUT_PATH = """
select p.oid::regprocedure::text from pg_proc p
 where p.pronamespace = 'backfill'::regnamespace and p.prosecdef
   and not exists (select from unnest(p.proconfig) s where s = 'search_path=pg_catalog, pg_temp')
"""


def rows(database: Database, query: str) -> list[Any]:
    """What a query returns."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_every_object_has_a_comment(complete: Database) -> None:
    """Each table, view, column and function of the schema says what it is."""
    assert rows(complete, UNCOMMENTED) == []


def test_definer_functions_fix_their_search_path(complete: Database) -> None:
    """No function that runs with its owner's rights looks names up where a caller says."""
    assert rows(complete, WITHOUT_PATH) == []
    definers = "select from pg_proc where pronamespace = 'backfill'::regnamespace and prosecdef"
    assert len(rows(complete, definers)) > 5


@pytest.mark.parametrize(
    "path", [f"runtime/{name}.sql" for name in RUNTIME] + [f"doctor/{name}.sql" for name in DOCTOR]
)
def test_statement_has_its_header(path: str) -> None:
    """Each statement says what it is for, its parameters, index and lock order."""
    lines = (sql_folder() / path).read_text().splitlines()
    header = [line for line in lines if re.match(r"-- [A-Z]", line)]
    assert [line[3:].partition(":")[0] for line in header] == list(HEADER)


@pytest.mark.parametrize("name", RUNTIME)
def test_statement_is_used(name: str) -> None:
    """No statement lies about that the program never sends."""
    used = re.compile(rf"""(?:call|one|statement|_read)\(\s*(?:\w+,)?\s*["']{name}["']""")
    sources = (path.read_text() for path in (ROOT / "runner").rglob("*.py"))
    assert any(used.search(source) for source in sources)


@pytest.mark.parametrize("name", RUNTIME)
def test_statement_can_be_prepared(name: str, complete: Database) -> None:
    """Each statement fits the schema that the migrations make."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    query = re.sub(r"%\((\w+)\)s", number, statement(name)).replace("%%", "%")
    with psycopg.connect(complete.url) as connection:
        connection.execute(f"prepare checked as {query}".encode())


@pytest.mark.parametrize("name", MONITOR)
def test_monitor_script_runs(name: str, work: Work) -> None:
    """Each script for psql has a header, names itself, and works on a database with work in it."""
    work.run(ok=3, failed=2)
    work.images(2)
    _, runner = work.start()
    work.claim(runner, 1)
    text = (sql_folder() / "monitor" / name).read_text()
    assert text.startswith("-- ")
    assert f"-f sql/monitor/{name}" in text
    work.connection.execute(text.encode())


def test_kill_switch_takes_back_its_own_pauses_only(work: Work) -> None:
    """The kill switch pauses what ran, and its counterpart leaves everybody else's pauses."""
    for name in ("other", "third"):
        work.one(f"select backfill.register_task('{name}', 1, 'Another.')")
    work.one("select backfill.pause('third', 'by hand')")
    paused = (
        "select coalesce(string_agg(name, ' ' order by name), '')"
        " from backfill.task where paused_at is not null"
    )
    folder = sql_folder() / "monitor"
    work.connection.execute((folder / "kill-switch.sql").read_bytes())
    assert work.one(paused) == "other quality_score third"
    work.connection.execute((folder / "kill-switch-off.sql").read_bytes())
    assert work.one(paused) == "third"
