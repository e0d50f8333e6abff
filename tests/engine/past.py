"""Runs that ended, to go by: written down without the work."""

from __future__ import annotations

from typing import Any

import psycopg


def past_run(
    connection: psycopg.Connection[dict[str, Any]],
    task: str,
    *,
    rows: int,
    minutes: float,
    calls: dict[str, int] | None = None,
) -> int:
    """A run of this task that ended well, of one process, with Rekognition's `calls` at $0.001
    each; its number.
    """
    run = connection.execute(
        "insert into backfill.run (task, status, exit_reason, source, started_at, ended_at)"
        " values (%s, 'ended', 'done', 'cli', now() - make_interval(secs => %s), now())"
        " returning id",
        [task, minutes * 60.0],
    ).fetchone()
    assert run is not None
    runner = connection.execute(
        "insert into backfill.runner (run_id, task, task_version, status, host, pid, direct,"
        " started_at, ended_at, ok) select r.id, r.task, t.version, 'left', 'test', 1, true,"
        " r.started_at, r.ended_at, %s from backfill.run r join backfill.task t on t.name = r.task"
        " where r.id = %s returning id",
        [rows, run["id"]],
    ).fetchone()
    assert runner is not None
    for operation, number in (calls or {}).items():
        connection.execute(
            "insert into backfill.run_cost (runner_id, provider, operation, region, calls, usd)"
            " values (%s, 'rekognition', %s, '*', %s, %s * 0.001)",
            [runner["id"], operation, number, number],
        )
    return int(run["id"])
