"""States that cannot be are refused by the database, each by a constraint that says what it is."""

from __future__ import annotations

import psycopg
import pytest

from tests.engine import guarding, hooking, serving
from tests.plugins.engine import Engine, outcome

IMPOSSIBLE_JOBS = [
    ("state = 'lost', finished_at = now()", "job_state_is_known"),
    ("runner_id = 1", "job_ready_is_held_by_nobody"),
    ("state = 'running', runner_id = 1, run_id = 1, attempt = 1", "job_running_is_held"),
    ("state = 'running', runner_id = 1, attempt = 1, claimed_at = now()", "job_running_is_held"),
    ("state = 'running', run_id = 1, attempt = 1, claimed_at = now()", "job_running_is_held"),
    ("state = 'running', runner_id = 1, run_id = 1, claimed_at = now()", "job_running_is_held"),
    ("state = 'ok'", "job_finished_says_when"),
    ("finished_at = now()", "job_finished_says_when"),
    ("state = 'failed', finished_at = now()", "job_failed_says_why"),
    ("state = 'failed', finished_at = now(), error_class = 'x'", "job_failed_says_why"),
    ("state = 'ok', finished_at = now(), run_after = now()", "job_waits_only_when_ready"),
    ("state = 'ok', finished_at = now(), solo = true", "job_solo_is_unfinished"),
    ("solo = true, run_after = now()", "job_solo_is_unfinished"),
    ("suspects = 2", "job_suspects_are_orphans"),
    ("solo = true, suspects = 0", "job_suspects_are_orphans"),
    ("attempt = -1", "job_counts_are_not_negative"),
    ("steps = -1", "job_comes_to_an_end"),
    ("steps = 1001", "job_comes_to_an_end"),
    ("failures = -1", "job_counts_are_not_negative"),
    ("key = '2'", "job_is_unique"),
]

IMPOSSIBLE_RUNS = [
    ("status = 'sleeping'", "run_status_is_known"),
    ("status = 'ended', ended_at = now(), exit_reason = 'bored'", "run_exit_reason_is_known"),
    ("source = 'fax'", "run_source_is_known"),
    ("status = 'ended', exit_reason = 'done'", "run_ended_says_when"),
    ("ended_at = now()", "run_ended_says_when"),
    ("status = 'ended', ended_at = now()", "run_ended_says_why"),
    ("exit_reason = 'done'", "run_ended_says_why"),
    ("max_jobs = 0", "run_limit_holds"),
    ("max_jobs = 2, taken = 3", "run_limit_holds"),
    ("taken = -1", "run_limit_holds"),
    ("batch_size = 0", "run_batch_size_in_range"),
    ("delay_ms = -1", "run_delay_in_range"),
    ("where_sql = 'true'", "run_filter_has_a_lane"),
    ("lane = 7", "run_filter_has_a_lane"),
    ("limit_by = 'a', limit_each = 1", "run_filter_has_a_lane"),
    ("lane = 7, limit_by = 'a'", "run_group_limit_is_whole"),
    ("limit_each = 1", "run_group_limit_is_whole"),
    ("lane = 7, limit_by = 'a', limit_each = 0", "run_group_limit_is_whole"),
]

IMPOSSIBLE_TASKS = [
    ("name = 'Not an identifier'", "task_name_is_an_identifier"),
    ("version = 0", "task_version_is_positive"),
    ("batch_size = 0", "task_batch_size_in_range"),
    ("batch_size = 10001", "task_batch_size_in_range"),
    ("delay_ms = -1", "task_delay_in_range"),
    ("max_attempts = 0", "task_max_attempts_in_range"),
    ("backoff_base = '0'", "task_backoff_grows"),
    ("backoff_max = '1 millisecond'", "task_backoff_grows"),
    ("retry_wait = '-1 second'", "task_retry_wait_is_not_negative"),
    ("lease = '2 seconds'", "task_lease_is_long_enough"),
    ("look_ahead = 0", "task_look_ahead_in_range"),
    ("paused_at = now()", "task_pause_says_who"),
    ("paused_by = 'me'", "task_pause_says_who"),
    ("paused_reason = 'why not'", "task_pause_reason_needs_a_pause"),
]

IMPOSSIBLE_RATES = [
    ("name = 'Not a name'", "rate_limit_name_says_what_for"),
    ("per_second = 200000", "rate_limit_rate_in_range"),
    ("burst = 0", "rate_limit_burst_in_range"),
    ("concurrency = 0", "rate_limit_concurrency_in_range"),
    ("floor = per_second + 1", "rate_limit_floor_is_below_its_rate"),
    ("slowed_to = per_second + 1", "rate_limit_slows_between_floor_and_rate"),
    ("blocked_until = now()", "rate_limit_pause_says_why"),
    ("throttled = -1", "rate_limit_counts_are_not_negative"),
    ("set_by = 'me', set_at = null", "rate_limit_setting_says_when"),
]

IMPOSSIBLE_EFFECTS = [
    ("state = 'sold', ended_at = now()", "effect_state_is_known"),
    ("ended_at = now()", "effect_ended_says_when"),
    ("state = 'settled'", "effect_ended_says_when"),
    ("usd = -1", "effect_costs_an_amount"),
    ("usd = 'NaN'", "effect_costs_an_amount"),
    ("assumed = true", "effect_only_settled_is_assumed"),
    ("provider = ''", "effect_texts_are_short"),
    ("note = repeat('x', 501)", "effect_texts_are_short"),
]

IMPOSSIBLE_PRICES = [
    ("operation = ''", "price_is_named"),
    ("from_calls = -1", "price_tier_begins_at_a_count"),
    ("usd = -1", "price_is_an_amount"),
    ("usd = 'Infinity'", "price_is_an_amount"),
]

IMPOSSIBLE_BUDGETS = [
    ("per = 'week'", "task_budget_period_is_known"),
    ("usd = -1", "task_budget_is_an_amount"),
    ("usd = 'NaN'", "task_budget_is_an_amount"),
]

IMPOSSIBLE_TOKENS = [
    ("name = 'Two words'", "token_name_is_a_word"),
    ("role = 'root'", "token_role_is_known"),
    ("hash = 'short'", "token_hash_is_sha256"),
    ("expires_at = created_at", "token_expires_after_it_was_made"),
]

IMPOSSIBLE_LOGINS = [
    ("update backfill.login_session set hash = 'short'", "login_session_hash_is_sha256"),
    (
        "update backfill.login_session set expires_at = created_at",
        "login_session_lasts_a_month_at_most",
    ),
    (
        "update backfill.login_session set expires_at = created_at + interval '32 days'",
        "login_session_lasts_a_month_at_most",
    ),
    (
        "insert into backfill.login_failure (source, level) values ('x', -1)",
        "login_failure_level_is_not_negative",
    ),
]

FIGURE = "insert into backfill.run_figure (runner_id, name, label, amount) values (1, {}, 1)"
METER = "insert into backfill.run_meter (runner_id, meter, used) values (1, {})"
RECENT = "insert into backfill.runner_recent values (1, 'sample', {}, '{}')"
RESERVATION = "insert into backfill.reservation values (gen_random_uuid(), 1, 'bytes', {})"

INPUT = (
    "insert into backfill.input (task, place, relation, key, columns, watched_since)"
    " values ('sample', 9, 'backfill.event', 'id', {}, {})"
)

IMPOSSIBLE_OTHERS = [
    (INPUT.format("'{}'", "null"), "input_has_columns"),
    (INPUT.format("'{via}'", "now()"), "input_watch_says_who"),
    (FIGURE.format("repeat('x', 61), ''"), "run_figure_name_is_short"),
    (FIGURE.format("'x', repeat('x', 301)"), "run_figure_label_is_short"),
    (METER.format("'Bytes', 1"), "run_meter_name_is_a_word"),
    (METER.format("'bytes', -1"), "run_meter_does_not_go_back"),
    (METER.format("'bytes', 'NaN'"), "run_meter_does_not_go_back"),
    (RESERVATION.format("0"), "reservation_is_of_something"),
    (
        RECENT.format(1, '[[1, "ok", "1", null, null], [1, "ok", "2", null, null]]'),
        "runner_recent_is_numbered",
    ),
    (RECENT.format(21, list(range(21))), "runner_recent_is_short"),
    ("update backfill.runner set status = 'asleep', ended_at = now()", "runner_status_is_known"),
    ("update backfill.runner set status = 'lost'", "runner_gone_says_when"),
    ("update backfill.runner set ended_at = now()", "runner_gone_says_when"),
    ("update backfill.sweep set ended_at = now(), began_at = null", "sweep_ends_after_it_began"),
    ("update backfill.sweep set again = to_come + 1", "sweep_expects_no_less_than_nothing"),
    *hooking.IMPOSSIBLE,
    *serving.IMPOSSIBLE,
]


def refused(engine: Engine, statement: str) -> str | None:
    """The constraint that refuses this statement."""
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        engine.rows(statement)
    return caught.value.diag.constraint_name


def test_a_job_is_never_in_an_impossible_state(engine: Engine) -> None:
    """Each contradiction in a job's row is refused by the constraint named after it."""
    engine.at_work(2)
    for change, constraint in IMPOSSIBLE_JOBS:
        statement = f"update backfill.job set {change} where key = '1'"
        assert refused(engine, statement) == constraint, change


def test_a_run_is_never_in_an_impossible_state(engine: Engine) -> None:
    """Each contradiction in a run's row is refused by the constraint named after it."""
    engine.start()
    for change, constraint in IMPOSSIBLE_RUNS:
        assert refused(engine, f"update backfill.run set {change}") == constraint, change


def test_a_task_is_never_out_of_its_ranges(engine: Engine) -> None:
    """Each value of a task's row that can't work is refused by the constraint named after it."""
    for change, constraint in IMPOSSIBLE_TASKS:
        assert refused(engine, f"update backfill.task set {change}") == constraint, change


def test_a_rate_is_never_out_of_its_ranges(engine: Engine) -> None:
    """Each contradiction in a shared rate is refused by the constraint named after it."""
    for change, constraint in IMPOSSIBLE_RATES:
        statement = f"update backfill.rate_limit set {change} where name = 'rekognition'"
        assert refused(engine, statement) == constraint, change


def test_money_is_never_in_an_impossible_state(engine: Engine) -> None:
    """The same holds for calls, prices and budgets."""
    engine.rows(
        "insert into backfill.effect (id, task, key, attempt, run_id, runner_id, provider,"
        " operation, usd) values (gen_random_uuid(), 'sample', '1', 1, 1, 1, 'p', 'o', 1)"
    )
    engine.rows("select backfill.set_budget('sample', 1)")
    for table, cases in (
        ("effect", IMPOSSIBLE_EFFECTS),
        ("price", IMPOSSIBLE_PRICES),
        ("task_budget", IMPOSSIBLE_BUDGETS),
    ):
        for change, constraint in cases:
            assert refused(engine, f"update backfill.{table} set {change}") == constraint, change


def test_runners_and_sweeps_are_never_in_an_impossible_state(engine: Engine) -> None:
    """The same holds for the rest."""
    engine.at_work(1)
    for statement, constraint in IMPOSSIBLE_OTHERS:
        assert refused(engine, statement) == constraint, statement


def test_tokens_and_log_ins_are_never_in_an_impossible_state(engine: Engine) -> None:
    """The same holds for who may use the service."""
    engine.rows("select backfill.create_token('ann', 'viewer')")
    engine.rows(
        "insert into backfill.login_session (hash, token, source, expires_at)"
        " select sha256('x'), id, '192.0.2.1', now() + interval '1 hour' from backfill.token"
    )
    for change, constraint in IMPOSSIBLE_TOKENS:
        assert refused(engine, f"update backfill.token set {change}") == constraint, change
    for statement, constraint in IMPOSSIBLE_LOGINS:
        assert refused(engine, statement) == constraint, statement


def test_guards_are_never_in_an_impossible_state(engine: Engine) -> None:
    """The same holds for guards."""
    guarding.set_guard(engine, "busy", kind="active_sessions", hold_above=10)
    for statement, constraint in guarding.IMPOSSIBLE:
        assert refused(engine, statement) == constraint, statement


def test_every_check_is_tried(engine: Engine) -> None:
    """No check constraint of the schema is left out of the cases above."""
    cases = (
        IMPOSSIBLE_JOBS, IMPOSSIBLE_RUNS, IMPOSSIBLE_TASKS, IMPOSSIBLE_RATES, IMPOSSIBLE_OTHERS,
        IMPOSSIBLE_EFFECTS, IMPOSSIBLE_PRICES, IMPOSSIBLE_BUDGETS, IMPOSSIBLE_TOKENS,
        IMPOSSIBLE_LOGINS, guarding.IMPOSSIBLE,
    )  # fmt: skip
    named = {constraint for case in cases for _, constraint in case}
    there = engine.column(
        "select conname::text from pg_constraint"
        " where connamespace = 'backfill'::regnamespace and contype = 'c'"
    )
    assert set(there) - named == set()


@pytest.mark.parametrize("kind", ["ok", "nothing_found", "skipped", "failed"])
def test_a_job_goes_from_ready_to_running_to_finished(engine: Engine, kind: str) -> None:
    """The way of a job: enqueued, claimed by one runner at attempt 1, finished with its outcome."""
    run, runner = engine.at_work(1)
    ready = engine.job(1)
    assert (ready["state"], ready["attempt"], ready["runner_id"]) == ("ready", 0, None)
    (job,) = engine.claim(runner)["jobs"]
    running = engine.job(1)
    assert (running["state"], running["attempt"], running["runner_id"]) == ("running", 1, runner)
    assert running["run_id"] == run
    assert engine.finish(runner, [outcome(job, kind)])[kind] == 1
    finished = engine.job(1)
    assert (finished["state"], finished["attempt"], finished["runner_id"]) == (kind, 1, runner)
    assert finished["finished_at"] >= finished["claimed_at"]


@pytest.mark.parametrize("kind", ["ready", "running", "lost", None])
def test_a_job_cannot_be_finished_into_another_state(engine: Engine, kind: str | None) -> None:
    """An outcome that is none is refused, and the job stays where it is."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    with pytest.raises(psycopg.errors.IntegrityError):
        engine.finish(runner, [outcome(job) | {"outcome": kind}])
    assert engine.job(1)["state"] == "running"


def test_a_failure_always_says_why(engine: Engine) -> None:
    """A failed attempt without a cause and a message is refused, whether it is the last or not."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    for kind in ("failed", "retry"):
        for missing in ("error_class", "error_message"):
            with pytest.raises(psycopg.errors.IntegrityError):
                engine.finish(runner, [outcome(job, kind) | {missing: None}])
    assert engine.job(1)["state"] == "running"
    assert engine.value("select count(*) from backfill.attempt_error") == 0
