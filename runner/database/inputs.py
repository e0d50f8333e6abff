"""Tells the database which columns of the application's tables are inputs of a task."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from runner.contract import Task
from runner.database import failures
from runner.database.scripts import Binding
from runner.database.session import Session

log = logging.getLogger(__name__)


def declared(task: Task, binding: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What the task's code says of its inputs, in the application's names."""
    names = Binding(task.name, binding)
    for one in task.inputs:
        bound = one.table in binding
        columns = [binding.get(name, name) for name in one.columns]
        yield {
            "task": task.name,
            "relation": names.table(one.table).as_string(None) if bound else one.table,
            "key": binding.get(one.key, one.key),
            "columns": [column for column in columns if column],
        }


def declare(session: Session, task: Task, binding: Mapping[str, str]) -> None:
    """Declare the task's inputs where nobody has declared any, which is nobody's to overrule."""
    if session.call("watches", task=task.name):
        return
    for one in declared(task, binding):
        session.call("declare_inputs", **one)


def declare_where_possible(conninfo: str, task: Task, binding: Mapping[str, str]) -> None:
    """As `declare`, after a migration, which doesn't fail for it: the task works without."""
    with Session(conninfo, name="backfill migrate", patience=0) as session:
        try:
            declare(session, task, binding)
        except psycopg.Error as error:
            log.warning(
                "%s can't be watched as it is bound: %s", task.name, failures.first_line(error)
            )


def declare_sql(task: Task, binding: Mapping[str, str]) -> str:
    """The statements that `declare` sends, for review."""
    call = sql.SQL(
        "select backfill.declare_inputs({task}, {relation}::regclass, {key}, {columns});\n"
    )
    return "".join(
        call.format(**{name: sql.Literal(value) for name, value in one.items()}).as_string(None)
        for one in declared(task, binding)
    )
