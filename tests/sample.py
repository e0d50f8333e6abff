"""A task for tests, made as a user makes one: a view, a function, an apply function.

Each row of `item` says in `behaviour` what computing it does: ok, slow, skip, nothing, fail (for
good), flaky (fails at its first attempt), throttled (as flaky, without counting), always_retry,
crash (kills its process), limited (waits for the shared
rate `sample`), spends (100 of the budget `bytes`, and says so in figures), no_json, bad_value (the
apply function refuses it), or wait.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from runner.contract import (
    Compute,
    Expected,
    Limiter,
    NoLimits,
    Option,
    Pacing,
    Result,
    Row,
    Settings,
    Task,
)
from runner.errors import Figure, NothingFound, Permanent, Retry, Skip

SCHEMA = """
create table item (
    id bigint primary key,
    behaviour text not null default 'ok',
    input text not null default 'a',
    result text,
    result_version integer,
    writes integer not null default 0
);
create index item_needs on item (id) where result is null;
create function count_write() returns trigger language plpgsql as $$
begin
    new.writes := old.writes + 1;
    return new;
end $$;
create trigger count_writes before update of result on item
    for each row execute function count_write();

create view backfill.needs_sample as
select i.id::text as key, i.id as native_key, md5(i.input) as revision, i.behaviour, i.input
  from item i
 where i.result is null or i.result <> 'result of ' || i.input
    or i.result_version < (select t.version from backfill.task t where t.name = 'sample');

create function backfill.apply_sample(results jsonb) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.item i
       set result = r.result ->> 'text', result_version = (r.result ->> 'version')::integer
      from jsonb_to_recordset(results) as r (key text, result jsonb)
     where i.id = r.key::bigint
$$;
select backfill.register_task('sample', 1, 'Gives each item a text.', 20);
"""


def install(connection: psycopg.Connection[Any], rows: int = 0, behaviour: str = "ok") -> None:
    """Create the task's table and binding, with so many rows."""
    connection.execute(SCHEMA)
    add(connection, 1, rows, behaviour)
    # Retries should take tests milliseconds.
    connection.execute(
        "update backfill.task set backoff_base = '20 milliseconds',"
        " backoff_max = '100 milliseconds' where name = 'sample'"
    )


def add(connection: psycopg.Connection[Any], first: int, last: int, behaviour: str = "ok") -> None:
    """Add items with these ids, the last one included."""
    connection.execute(
        "insert into item (id, behaviour)"
        " select g, %s from generate_series(%s::bigint, %s::bigint) g",
        [behaviour, first, last],
    )


def _first_time(row: Row, folder: str) -> bool:
    """Whether this row is computed for the first time, by whichever process."""
    try:
        (Path(folder) / str(row["key"])).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


FAILURES: dict[str, Exception] = {
    "skip": Skip("not a subject"),
    "nothing": NothingFound("nothing there"),
    "fail": Permanent("it can't be done", code="impossible"),
    "always_retry": Retry("never works", code="hopeless"),
    "raises": ZeroDivisionError("by nothing"),
}
"""What a row raises each time, by its behaviour."""

FIRST_FAILURES: dict[str, Exception] = {
    "flaky": Retry("not this time", code="flaky"),
    "throttled": Retry("slow down", code="throttled", after=0.05, counts=False),
}
"""What it raises the first time only."""


def _behave(row: Row, folder: str) -> None:
    behaviour = row["behaviour"]
    if behaviour == "slow":
        time.sleep(0.05)
    elif behaviour == "wait":
        while not (Path(folder) / "go").exists():
            time.sleep(0.01)
    elif behaviour == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif behaviour in FAILURES:
        raise FAILURES[behaviour]
    elif behaviour in FIRST_FAILURES and _first_time(row, folder):
        raise FIRST_FAILURES[behaviour]


SPENT = 100
"""Bytes that a row spends whose behaviour is to spend."""


def spend(row: Row, limiter: Limiter) -> Result:
    """The right result, and what it took of the budget as figures: in all, and by host."""
    with limiter.budget("bytes", SPENT) as spending:
        spending.used = SPENT
    value = {"text": f"result of {row['input']}", "version": task.version}
    host = f"host:{'even' if int(row['key']) % 2 == 0 else 'odd'}.test"
    return Result(
        value,
        figures=(Figure("bytes", SPENT), Figure("stored", 1, host), Figure("bytes", SPENT, host)),
    )


@contextmanager
def open_sample(settings: Settings, limiter: Limiter | None = None) -> Iterator[Compute]:
    """The compute function."""
    folder = str(settings["folder"])
    shared = limiter or NoLimits()

    def compute(row: Row) -> Result | dict[str, Any]:
        if row["behaviour"] == "limited":
            with shared.acquire("sample"):
                pass
        if row["behaviour"] == "spends":
            return spend(row, shared)
        _behave(row, folder)
        if row["behaviour"] == "no_json":
            return {"text": object()}
        if row["behaviour"] == "bad_value":
            return {"text": "x", "version": "not a number"}
        return {"text": f"result of {row['input']}", "version": task.version}

    yield compute


task = Task(
    name="sample",
    version=1,
    summary="Gives each item a text.",
    open=open_sample,
    open_limited=open_sample,
    options=(Option("folder", "Where first attempts are noted.", default="/nonexistent"),),
    pacing=Pacing(batch_size=20, batch_size_max=1000, threads=4),
)


def _guessed(_settings: Settings, _rows: Sequence[Row]) -> Sequence[Expected]:
    return [Expected("oracle", "Guess", 1, usd=Decimal("0.25"))]


paid = replace(task, expected=_guessed)
"""The same, as if each row cost a quarter of a dollar."""

metered = replace(
    task,
    options=(*task.options, Option("max_bytes", "Most bytes of a run.", kind=int, minimum=1)),
)
"""The same with a budget."""

placed = replace(task, options=tuple(replace(option, place=True) for option in task.options))
"""The same with a folder that is set where a process runs."""

narrowed = replace(
    task,
    options=(*task.options, Option("up_to", "The last key that is done.", kind=int)),
    pacing=replace(task.pacing, limit=3),
    condition=lambda settings: (
        None if settings["up_to"] is None else f"native_key <= {settings['up_to']} -- up to"
    ),
    expected=_guessed,
)
"""The same with a condition that an option stands for, three rows a run, and a price."""
