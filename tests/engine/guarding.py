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


_GUARD = "update backfill.guard set {}"
_READING = "update backfill.guard_reading set {}"

IMPOSSIBLE = [
    (_GUARD.format("name = 'Busy'"), "guard_name_is_a_word"),
    (_GUARD.format("kind = 'moon'"), "guard_kind_is_known"),
    (_GUARD.format("hold_above = null"), "guard_has_a_threshold"),
    (_GUARD.format("slow_above = 10"), "guard_slows_before_it_holds"),
    (_GUARD.format("clear_below = 11"), "guard_clears_below_its_thresholds"),
    (_GUARD.format("hold_above = 'NaN'"), "guard_thresholds_are_numbers"),
    (_GUARD.format("slow_by = 1"), "guard_slow_by_in_range"),
    (_GUARD.format("slow_by = 1001"), "guard_slow_by_in_range"),
    (_GUARD.format("every = '0.9 seconds'"), "guard_every_in_range"),
    (_GUARD.format("every = '61 minutes'"), "guard_every_in_range"),
    (_GUARD.format("timeout = '9 milliseconds'"), "guard_timeout_in_range"),
    (_GUARD.format("timeout = '61 seconds'"), "guard_timeout_in_range"),
    (_GUARD.format("on_failure = 'shrug'"), "guard_failure_is_known"),
    (_GUARD.format("sql = 'select 1'"), "guard_sql_has_a_query"),
    (_GUARD.format("subject = 'x'"), "guard_subject_is_of_use"),
    (_GUARD.format("kind = 'vacuum'"), "guard_vacuum_is_of_a_table"),
    (_READING.format("level = 'high'"), "guard_reading_level_is_known"),
    (_READING.format("state = 'odd', reason = 'x'"), "guard_reading_state_is_known"),
    (_READING.format("reason = 'x'"), "guard_reading_says_why"),
]
"""Changes of a guard of kind active_sessions that holds above 10, each with what refuses it."""
