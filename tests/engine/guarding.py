"""Guards in tests of the engine."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from tests.plugins.engine import Connection, Engine, Row


def set_guard(engine: Engine, name: str, *, on: Connection | None = None, **settings: Any) -> None:
    """Set a guard; settings are named as the function's parameters, without their prefix."""
    parts = [sql.SQL("{} => {}").format(sql.SQL(f"p_{k}"), v) for k, v in settings.items()]
    call = sql.SQL("select backfill.set_guard({}, {})").format(name, sql.SQL(", ").join(parts))
    (on or engine.connection).execute(call)


def evaluate(engine: Engine, name: str, *, on: Connection | None = None) -> str:
    """Measure a guard; what it does then."""
    return str(engine.value("select backfill.evaluate_guard(%s)", name, on=on))


def reading(engine: Engine, name: str) -> Row:
    """What the view says of a guard."""
    return engine.one("select * from backfill.guards where name = %s", name)


def dial(engine: Engine, **settings: Any) -> None:
    """A guard `dial` that says what the test's own table says; see `turn`."""
    query = "select value::numeric from saved.dial"
    set_guard(engine, "dial", kind="sql", sql=query, **settings)


def turn(engine: Engine, value: object) -> str:
    """Let the dial say this, and measure it; what the guard does then."""
    engine.rows("delete from saved.dial")
    engine.rows("insert into saved.dial values (%s)", str(value))
    return evaluate(engine, "dial")


def due(engine: Engine, name: str, seconds: float = 0.0) -> None:
    """Let a guard have been due for so long."""
    engine.rows(
        "update backfill.guard_reading"
        " set due_at = clock_timestamp() - make_interval(secs => %s) where guard = %s",
        float(seconds),
        name,
    )
