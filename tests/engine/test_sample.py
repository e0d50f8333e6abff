"""Rows that an estimate is made by."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.engine.paid import paid_run
from tests.plugins.engine import Engine


def sample(engine: Engine, rows: int, among: int = 50_000, **more: Any) -> list[int]:
    """The keys of a sample."""
    query = "select (input ->> 'key')::integer from backfill.sample('sample', %s, %s, %s, %s)"
    given = (more.get("where"), more.get("retry_failed", False))
    return [int(key) for key in engine.column(query, *given, rows, among)]


def test_a_sample_is_spread_over_what_a_run_would_take(engine: Engine) -> None:
    """Evenly, in order of keys; the first so many alone where that is said."""
    engine.add(1, 100)
    assert sample(engine, 4) == [1, 26, 51, 76]
    assert sample(engine, 3) == [1, 35, 68]
    assert sample(engine, 4, among=8) == [1, 3, 5, 7]
    assert sample(engine, 4, where="native_key > 60") == [61, 71, 81, 91]


@pytest.mark.parametrize("rows", [1, 2, 7, 49, 50, 51, 1000])
def test_a_sample_has_as_many_rows_as_were_asked_for(engine: Engine, rows: int) -> None:
    """Or all, where there are no more; none twice."""
    engine.add(1, 50)
    found = sample(engine, rows)
    assert len(found) == len(set(found)) == min(rows, 50)


def test_a_sample_of_nothing_is_empty(engine: Engine) -> None:
    """No row needs anything."""
    assert sample(engine, 3) == []


def test_rows_that_a_run_would_leave_alone_are_no_sample(engine: Engine) -> None:
    """Those that failed, unless they are taken up again."""
    _, runner = paid_run(engine, 2)
    (job,) = engine.claim(runner, 1)["jobs"]
    engine.finish(runner, [{"id": job["id"], "attempt": job["attempt"], "outcome": "failed",
                            "error_class": "x", "error_message": "x", "ms": 1}])  # fmt: skip
    assert sample(engine, 5) == [2]
    assert sample(engine, 5, retry_failed=True) == [1, 2]


def test_a_sample_writes_nothing_whatever_its_condition_says(engine: Engine) -> None:
    """As with the preview."""
    engine.add(1, 3)
    engine.rows(
        "create function public.meddle() returns boolean language sql as"
        " 'delete from public.item returning true'"
    )
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        sample(engine, 2, where="public.meddle()")
    assert engine.value("select count(*) from item") == 3
