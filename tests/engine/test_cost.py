"""What a claim and the views cost on a big jobs table: nothing reads past what is finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import psycopg
import pytest

from tests.bench import scale
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase

SMALL, BIG = 10_000, 200_000
CLAIMS = 5

BIG_TABLES = {"job", "attempt_error"}
VIEWS = ("progress", "running", "stalled", "failures", "failure_causes", "throughput", "runs")
OWN_LANE = """
update backfill.run set where_sql = 'true', lane = id;
insert into backfill.sweep (task, lane) select task, lane from backfill.run;
"""
STATEMENTS = [
    "select * from backfill.outlook(1)",
    "select backfill.heartbeat(1)",
    "select backfill.rescue()",
    "select backfill.release(1)",
    "select backfill.discover((select max(id) from backfill.run), 100)",
    "select backfill.leave(1, 'done')",
    "select backfill.end_run((select max(id) from backfill.run), 'done')",
    "select backfill.retry('scale')",
]


class Sized(Protocol):
    """Makes a database with so many jobs of one task, 99 % of them finished."""

    def __call__(self, size: int) -> Database: ...


@pytest.fixture
def sized(database_template: DatabaseTemplate, new_database: NewDatabase) -> Sized:
    """See `Sized`."""

    def build(size: int) -> Database:
        name = database_template(f"scale {size}", lambda url: scale.prepare(url, size, "last"))
        return new_database(template=name)

    return build


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def read_whole(connection: psycopg.Connection[Any], query: str) -> set[str]:
    """Tables that the plan of this query reads from end to end."""
    row = connection.execute(f"explain (format json) {query}".encode()).fetchone()
    assert row is not None
    plan = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    return {n["Relation Name"] for n in nodes(plan[0]["Plan"]) if n["Node Type"] == "Seq Scan"}


def test_a_claim_costs_the_same_however_many_jobs_are_done(sized: Sized) -> None:
    """Twenty times as many finished jobs: as many rows read, and buffers within 20 %."""
    # a plan settles after a few claims of one session
    small, big = (scale.Cost(size, sized(size).direct, 1) for size in (SMALL, BIG))
    scale.measure([small, big], CLAIMS)
    (_, few_buffers, few_rows), (_, many_buffers, many_rows) = small.medians(), big.medians()
    assert many_rows == few_rows
    assert many_buffers <= 1.2 * few_buffers


def test_no_view_reads_the_jobs_from_end_to_end(sized: Sized) -> None:
    """With 200,000 jobs each view is answered from the partial indexes and the counters."""
    with sized(BIG).connect() as connection:
        for view in VIEWS:
            for which in ("", " where task = 'scale'"):
                query = f"select * from backfill.{view}{which}"
                assert read_whole(connection, query) & BIG_TABLES == set(), query


def test_no_function_reads_the_jobs_from_end_to_end(sized: Sized) -> None:
    """Nor does any statement within a function that a process or an operator calls."""
    scans = (
        "select coalesce(sum(seq_scan), 0) from pg_stat_xact_user_tables"
        " where schemaname = 'backfill' and relname = any (%s)"
    )
    with sized(BIG).connect() as connection:
        for call in STATEMENTS:
            connection.execute(OWN_LANE)
            before = connection.execute(scans, [list(BIG_TABLES)]).fetchone()
            connection.execute(call.encode())
            assert connection.execute(scans, [list(BIG_TABLES)]).fetchone() == before, call
            connection.rollback()
