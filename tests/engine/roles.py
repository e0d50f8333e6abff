"""Login roles for tests, and what the three roles of the engine are meant to be allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

READER = {
    "roles", "known_task", "known_run", "native_type", "needs_again", "pending_sql",
    "count_pending", "preview", "pause_words", "faded",
    "storing_tasks", "kept_objects", "utc_day", "utc_month", "price_usd", "calls_this_month",
    "estimate_usd", "task_spend", "run_spend", "budget_reason", "max_cost",
    "run_summary", "sample", "group_limit", "guard_now", "guard_amount",
}  # fmt: skip
RUNNER = READER | {
    "start", "create_run", "join_run", "runner_lock_space", "heartbeat", "leave", "end_run",
    "rescue", "sweep_open", "enqueue", "enqueue_each", "discover", "claim", "outlook", "finish",
    "release", "take_tokens", "throttled", "release_slots", "prune_rates", "reserve", "settle",
    "intend", "halt", "evaluate_guard", "measure_guard", "note_guard", "claim_new", "sweep_anew",
    "hear", "wake_space",
}  # fmt: skip
OPERATOR = READER | {
    "start", "create_run", "pause", "resume", "cancel", "retry", "rescue",
    "set_rate", "lift_pause", "prune_rates", "set_price", "set_budget", "settle_effect",
    "set_guard", "drop_guard", "evaluate_guard", "measure_guard", "note_guard", "watch", "unwatch",
}  # fmt: skip

MAY_CALL = {
    "backfill_reader": READER,
    "backfill_runner": RUNNER,
    "backfill_operator": OPERATOR,
}

STEERING = {
    "batch_size", "delay_ms", "max_attempts", "backoff_base", "backoff_max", "retry_wait",
    "lease", "look_ahead",
}  # fmt: skip
"""Columns of backfill.task that an operator may set."""

RATES = {"per_second", "burst", "concurrency", "floor"}
"""Columns of backfill.rate_limit that an operator may set."""

_numbers = count(1)


@contextmanager
def login(url: str, *member_of: str, attributes: str = "") -> Iterator[str]:
    """The connection string of a new login that is a member of these roles and nothing else."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = f"{connection.info.dbname}_login_{next(_numbers)}"
        role = sql.Identifier(name)
        connection.execute(
            sql.SQL("create role {} login password 'secret' {}").format(
                role,
                sql.SQL(attributes),
            )
        )
        try:
            for group in member_of:
                connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), role))
            yield make_conninfo(url, user=name, password="secret")
        finally:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [name]
            )
            # where it came to own anything, that is part of what the test is about
            connection.execute(sql.SQL("drop owned by {} cascade").format(role))
            connection.execute(sql.SQL("drop role {}").format(role))
