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
    "recent_rows", "row_words", "event_words", "rows_name", "review_counts", "estimate_jobs",
    "is_server", "token_name", "actor", "run_seats", "refuse_second", "known_schedule",
    "window_now", "window_reason", "hold_reason", "entrypoint_of", "seat_priority", "idle_reason",
    "run_facts", "hook_message", "webhook_host", "has_webhooks",
    "run_time", "estimate_run",
}  # fmt: skip
RUNNER = READER | {
    "start", "create_run", "join_run", "runner_lock_space", "heartbeat", "leave", "end_run",
    "rescue", "sweep_open", "enqueue", "enqueue_each", "discover", "claim", "outlook", "finish",
    "release", "take_tokens", "throttled", "release_slots", "prune_rates", "reserve", "settle",
    "intend", "halt", "take_request_key", "keep_request_key", "start_once", "join_fleet",
    "leave_fleet", "keep_seats", "take_seat", "give_seat_back", "fail_run", "serve",
    "serve_space", "prune_queue", "plan_schedule", "take_tick", "note_tick", "fire_schedule",
    "end_run_of_nothing",
    "take_deliveries", "note_delivery", "prune_deliveries", "take_command", "note_command",
    "evaluate_guard", "measure_guard", "note_guard", "claim_new", "sweep_anew",
    "hear", "wake_space",
}  # fmt: skip
OPERATOR = READER | {
    "start", "create_run", "pause", "resume", "cancel", "retry", "rescue",
    "set_rate", "lift_pause", "prune_rates", "set_price", "set_budget", "settle_effect",
    "set_guard", "drop_guard", "evaluate_guard", "measure_guard", "note_guard", "watch", "unwatch",
    "take_request_key", "keep_request_key", "start_once", "set_schedule", "drop_schedule",
    "enable_schedule", "set_window", "clear_window",
}  # fmt: skip
ADMIN = RUNNER | OPERATOR | {
    "prune", "create_token", "revoke_token", "token_refusal", "session_refusal",
    "set_webhook", "rotate_webhook_secret", "drop_webhook", "test_webhook",
}  # fmt: skip
SERVER = {"authenticate", "log_in", "session_of", "end_session"}

MAY_CALL = {
    "backfill_reader": READER,
    "backfill_runner": RUNNER,
    "backfill_operator": OPERATOR,
    "backfill_admin": ADMIN,
    "backfill_server": SERVER,
}

SECRET = {
    "token": None, "login_session": None, "login_failure": None, "tokens": "backfill_admin",
    "webhook": None,
}  # fmt: skip
"""Relations that readers do not see, and the role that does."""

STEERING = {
    "batch_size", "delay_ms", "max_attempts", "backoff_base", "backoff_max", "retry_wait",
    "lease", "look_ahead",
}  # fmt: skip
"""Columns of backfill.task that an operator may set."""

RATES = {"per_second", "burst", "concurrency", "floor"}
"""Columns of backfill.rate_limit that an operator may set."""

SCHEDULES = {"task", "cron", "timezone", "options", "enabled"}
"""Columns of backfill.schedule that an operator may set."""

_STEERED = {"task": STEERING, "rate_limit": RATES, "schedule": SCHEDULES}
_SERVED = {("pgqueuer", "update"), ("pgqueuer", "delete"), ("pgqueuer_log", "insert")}

MAY_SET: dict[str, dict[str, set[str]]] = {
    "backfill_operator": _STEERED,
    "backfill_admin": _STEERED,
}
"""Columns that each role may update, by table."""

MAY_WRITE: dict[str, set[tuple[str, str]]] = {
    "backfill_runner": _SERVED,
    "backfill_admin": _SERVED,
}
"""What else each role may do to tables: what pgqueuer does to its own, in a worker."""

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
