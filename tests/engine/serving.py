"""Workers, seats, schedules, windows and requests that cannot be, and a worker for tests."""

from __future__ import annotations

from typing import Any

from tests.plugins.engine import Engine
from tests.plugins.waiting import wait_until

_WORKER = "insert into backfill.worker (host, pid, slots{0}) values ('h', 1, 1{1})"
_SCHEDULE = (
    "insert into backfill.schedule (name, task, cron, options) values ({0}, 'sample', {1}, {2})"
)
_SEAT = "insert into backfill.seat (run_id, seat{0}) select min(id), {1}{2} from backfill.run"
_TICK = (
    "insert into backfill.schedule (name, task, cron) values ('x', 'sample', '* * * * *');"
    " insert into backfill.tick (schedule, at, outcome, run) values ('x', now(), {0}, {1})"
)
_WINDOW = (
    "insert into backfill.task_window (task, opens, closes, zone, set_by)"
    " values ('sample', '22:00', '22:00', 'UTC', 'me')"
)
_KEY = "insert into backfill.request_key (actor, key, request) values ('me', {0}, '{{}}')"

IMPOSSIBLE = [
    (_WORKER.format(", status, ended_at", ", 'asleep', now()"), "worker_status_is_known"),
    (_WORKER.format(", status", ", 'lost'"), "worker_gone_says_when"),
    (_WORKER.format("", "").replace("1, 1", "1, 0"), "worker_slots_in_range"),
    (_SEAT.format("", "0", ""), "seat_number_is_positive"),
    (_SEAT.format(", taken_at", "7", ", now()"), "seat_taken_says_when"),
    (_SCHEDULE.format("'-'", "'* * * * *'", "'{}'"), "schedule_name_is_plain"),
    (_SCHEDULE.format("'x'", "'* * * *'", "'{}'"), "schedule_cron_has_5_or_6_fields"),
    (_SCHEDULE.format("'x'", "'* * * * * * *'", "'{}'"), "schedule_cron_has_5_or_6_fields"),
    (_SCHEDULE.format("'x'", "'* * * * *'", "'[]'"), "schedule_options_are_an_object"),
    (
        _SCHEDULE.format("'x'", "'* * * * *'", "'{}'") + " returning name; "
        "update backfill.schedule set next_at = now() where name = 'x'",
        "schedule_next_is_planned",
    ),
    (_TICK.format("'maybe'", "null"), "tick_outcome_is_known"),
    (_TICK.format("'started'", "null"), "tick_started_has_a_run"),
    (_WINDOW, "task_window_has_a_length"),
    (_WINDOW.replace("'22:00', 'UTC'", "'24:00', 'UTC'"), "task_window_midnight_is_0_00"),
    (_KEY.format("''"), "request_key_is_short"),
    (_KEY.format("repeat('x', 201)"), "request_key_is_short"),
    ("update backfill.run set options = '[]'", "run_options_are_an_object"),
    ("update backfill.run set seats = 0", "run_seats_in_range"),
    ("update backfill.run set standing = true", "run_standing_is_for_new_rows"),
]
"""Statements, and the constraint that refuses each."""


class Fleet:
    """What workers call, for tests that are their own workers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def join(self, slots: int = 1, serves: str = "{seat:sample,new:sample}") -> int:
        """A new worker's number."""
        query = "select backfill.join_fleet('test', 1, %s, %s::text[])"
        return int(self.engine.value(query, slots, serves))

    def take(self, worker: int, run: int, seat: int = 1) -> bool:
        """Take a seat; whether it was free."""
        return bool(self.engine.value("select backfill.take_seat(%s, %s, %s)", worker, run, seat))

    def give_back(self, worker: int, run: int, seat: int = 1, *, over: bool = False) -> None:
        """Give it back."""
        query = "select backfill.give_seat_back(%s, %s, %s, %s)"
        self.engine.rows(query, worker, run, seat, over)

    def pick(self) -> dict[str, Any] | None:
        """Let the first job of the queue be picked, as pgqueuer does it."""
        rows = self.engine.rows(
            "update backfill.pgqueuer set status = 'picked', updated = now() where id = ("
            " select id from backfill.pgqueuer where status = 'queued' and execute_after <= now()"
            " order by priority desc, id limit 1) returning *"
        )
        return rows[0] if rows else None

    def done(self, job: int) -> None:
        """Let it be done with, as pgqueuer does it."""
        self.engine.rows("delete from backfill.pgqueuer where id = %s", job)

    def keep(self, worker: int, slice_s: float = 60) -> dict[str, Any]:
        """A heartbeat: alive, and the seats by (run, seat) with whether they give way."""
        row = self.engine.one(
            "select * from backfill.keep_seats(%s, '{seat:sample,new:sample}', %s)",
            worker, f"{slice_s} s",
        )  # fmt: skip
        seats = {(s["run"], s["seat"]): s["gives_way"] for s in row["seats"]}
        return {"alive": row["alive"], "seats": seats}

    def serve(self) -> dict[str, Any]:
        """Put in order what is not."""
        return self.engine.one("select * from backfill.serve()")

    def queued(self) -> list[str]:
        """Keys of the queue's jobs, the next first."""
        return self.engine.column(
            "select dedupe_key from backfill.pgqueuer where status = 'queued'"
            " order by priority desc, id"
        )

    def silent(self, worker: int, seconds: float = 11) -> None:
        """Let a worker's last heartbeat be so long ago, on a server that is up for longer."""
        up = "select clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => %s)"
        wait_until(lambda: self.engine.value(up, seconds))
        self.engine.rows(
            "update backfill.worker"
            " set heartbeat_at = clock_timestamp() - make_interval(secs => %s) where id = %s",
            seconds, worker,
        )  # fmt: skip
