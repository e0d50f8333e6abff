"""What revisions are made of: SQL scripts, with an application's names written into them.

A script with names is a `psycopg.sql` template: `{table}` stands for a quoted name, and a literal
brace is doubled. Nothing else is ever pasted into SQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import psycopg
from alembic import context, op
from psycopg import sql

from runner.database.files import sql_folder
from runner.errors import UsageError

LOCK_TIMEOUT = "3s"

_TYPE = re.compile(r"[a-z_][a-z0-9_ .\"]*(\(\d+(,\d+)?\))?")


def _raw() -> psycopg.Connection[Any]:
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise UsageError("migrations need the psycopg driver; use backfill migrate")
    return connection


def execute(text: str) -> None:
    """Run one script as it stands, or print it where alembic is offline."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(text.strip().removesuffix(";") + ";\n")
    else:
        _raw().execute(text)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template with names and literals written in, quoted."""
    return sql.SQL(template).format(**values).as_string(None)


def run_script(
    path: str, values: Mapping[str, Any] | None = None, *, in_transaction: bool = True
) -> None:
    """Run `sql/<path>`; with `values` it is a template.

    In a transaction it waits for a lock only briefly: whoever queues behind it waits as long.
    """
    text = (sql_folder() / path).read_text(encoding="utf-8")
    if in_transaction:
        execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    execute(text if values is None else render(text, values))


def run_folder(path: str) -> None:
    """Run the scripts of `sql/<path>` in the order of their names, but for the downgrade's."""
    for script in sorted((sql_folder() / path).glob("*.sql")):
        if not script.name.endswith("_down.sql"):
            run_script(f"{path}/{script.name}")


def run_function(path: str, name: str) -> None:
    """Create one function as `sql/<path>` has it, with its comment."""
    text = (sql_folder() / path).read_text(encoding="utf-8")
    found = re.search(
        rf"^create (?:or replace )?function backfill\.{name}\(.*?\n(?=create |\Z)",
        text,
        re.DOTALL | re.MULTILINE,
    )
    if found is None:
        raise LookupError(f"sql/{path} creates no function backfill.{name}")
    execute(found[0])


def run_view(path: str, name: str) -> None:
    """Give a view the query that `sql/<path>` has for it; its columns, rights and comments stay."""
    text = (sql_folder() / path).read_text(encoding="utf-8")
    found = re.search(
        rf"^create (?:or replace )?view backfill\.{name} as\n(.*?;\n)",
        text,
        re.DOTALL | re.MULTILINE,
    )
    if found is None:
        raise LookupError(f"sql/{path} creates no view backfill.{name}")
    execute(f"create or replace view backfill.{name} as\n{found[1]}")


def concurrent_index(
    task: str,
    schema: sql.Identifier,
    name: sql.Identifier,
    definition: str,
    values: Mapping[str, Any],
    *,
    unique: bool = False,
) -> None:
    """Build an index beside reads and writes, outside any transaction.

    A build that was interrupted leaves an invalid index, which is dropped first. An index that is
    there already is left alone; one that is built here is noted as added by the task.
    """
    plain = render("{name}", {"name": name})[1:-1].replace('""', '"')
    full = render("{schema}.{name}", {"schema": schema, "name": name})
    kind = "unique index" if unique else "index"
    create = f"create {kind} concurrently if not exists {render('{name}', {'name': name})} "
    create += render(definition, values)
    note = render(
        "update backfill.task set added = array_append(added, {entry})"
        " where name = {task} and not {entry} = any (added)",
        {"entry": sql.Literal(f"index {plain}"), "task": sql.Literal(task)},
    )
    if context.is_offline_mode():
        # Before the index is built, and only where it isn't there yet: one of the application's own
        # must not be taken for ours.
        execute(f"{note} and to_regclass({sql.Literal(full).as_string(None)}) is null")
        execute(create)
        return
    found = (
        _raw()
        .execute(
            "select indisvalid, indisunique from pg_index where indexrelid = to_regclass(%s)",
            [full],
        )
        .fetchone()
    )
    if found is not None and found[0]:
        if unique and not found[1]:
            raise UsageError(f"{task}: the index {full} is there and is not unique; rename it")
        return
    if found is not None:
        execute(f"drop index concurrently {full}")
    # Noted first: a build that is killed half-way must not look like somebody else's index.
    execute(note)
    execute(create)


class Binding(Mapping[str, str]):
    """The application's names for one task: what was given now, was given before, or defaults."""

    def __init__(self, task: str, names: Mapping[str, str]) -> None:
        self._task = task
        self._names = dict(names)

    @classmethod
    def of(cls, task: str, attributes: MutableMapping[str, Any]) -> Binding:
        """The binding that `backfill migrate` put together for this task."""
        return cls(task, attributes.get("bindings", {}).get(task, {}))

    def __getitem__(self, name: str) -> str:
        return self._names[name]

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def given(self, name: str) -> bool:
        """Whether this optional name is set."""
        return bool(self._names.get(name))

    def as_literal(self) -> sql.Literal:
        """All names as a JSON text literal."""
        return sql.Literal(json.dumps(self._names, sort_keys=True))

    def literal(self, text: str, *, raw: bool = False) -> sql.Composable:
        """A quoted literal; with `raw`, a number written as it is."""
        return sql.SQL(str(int(text))) if raw else sql.Literal(text)

    def name(self, text: str) -> sql.Identifier:
        """A quoted name, cut to PostgreSQL's 63 bytes."""
        return sql.Identifier(text[:63])

    def table(self, name: str) -> sql.Identifier:
        """The quoted, schema-qualified table that this name is bound to."""
        return sql.Identifier(*self._split(name))

    def schema(self, name: str) -> sql.Identifier:
        """The quoted schema of that table."""
        return sql.Identifier(self._split(name)[0])

    def short_name(self, name: str) -> str:
        """The table's name without its schema."""
        return self._split(name)[1]

    def column(self, name: str) -> sql.Identifier:
        """The quoted column that this name is bound to."""
        return sql.Identifier(self._names[name])

    def optional(self, name: str, kind: str) -> sql.Composable:
        """The column where there is one, else a null of that type."""
        if self.given(name):
            return self.column(name)
        return sql.SQL("null::{}").format(sql.SQL(kind))

    def expression(self, template: str, values: Mapping[str, Any]) -> sql.Composable:
        """A template as part of another."""
        return sql.SQL(template).format(**values)

    def type_of(self, table: str, column: str) -> sql.Composable:
        """The column's SQL type: from the catalog; without a database, `<column>_type`."""
        if context.is_offline_mode():
            kind = self._names.get(f"{column}_type", "uuid")
        else:
            kind = self._catalog_type(table, column)
        if not _TYPE.fullmatch(kind):
            raise UsageError(f"{kind!r} is not a type name; give e.g. --set {column}_type=bigint")
        return sql.SQL(kind)

    def name_literal(self, name: str) -> sql.Literal:
        """The quoted table name, as a text literal to look it up by."""
        return sql.Literal(render("{t}", {"t": self.table(name)}))

    def check_columns(self, table: str, columns: Iterable[str]) -> None:
        """Raise `UsageError` for a bound column that the table lacks."""
        if not context.is_offline_mode():
            for column in columns:
                if self.given(column):
                    self._catalog_type(table, column)

    def _catalog_type(self, table: str, column: str) -> str:
        name = render("{t}", {"t": self.table(table)})
        row = (
            _raw()
            .execute(
                "select format_type(a.atttypid, a.atttypmod) from pg_attribute a"
                " where a.attrelid = to_regclass(%s) and a.attname = %s and not a.attisdropped",
                [name, self._names[column]],
            )
            .fetchone()
        )
        if row is None:
            found = _raw().execute("select to_regclass(%s) is not null", [name]).fetchone()
            there = found is not None and found[0]
            what = f"no column {self._names[column]} in table" if there else "no table"
            raise UsageError(
                f"{self._task}: {what} {self._names[table]}; "
                f"name yours with --set {table}=schema.table --set {column}=column"
            )
        return str(row[0])

    def _split(self, name: str) -> tuple[str, str]:
        schema, _, table = self._names[name].rpartition(".")
        return schema or "public", table
