"""Discovering: a sweep ends, whatever is inserted meanwhile, and misses nothing."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from tests.plugins.engine import Engine, outcome

KEYED = """
create table keyed (id {type} primary key, done boolean not null default false);
create view backfill.needs_keyed as
select k.id::text as key, k.id as native_key, null::text as revision
  from public.keyed k where not k.done;
create function backfill.apply_keyed(results jsonb) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.keyed k set done = true
      from jsonb_to_recordset(results) as r (key text) where k.id = r.key::{type}
$$;
select backfill.register_task('keyed', 1, 'Marks each row as done.');
"""


def keyed(engine: Engine, kind: str, values: list[str]) -> None:
    """A task over a table with a key of this type, and rows with these keys."""
    engine.rows(KEYED.format(type=kind))
    for value in values:
        engine.rows(f"insert into keyed (id) values (%s::{kind})", value)


def work_off(engine: Engine, run: int) -> int:
    """Claim and finish all that is enqueued; how many."""
    runner = engine.join(run)
    done = 0
    while jobs := engine.claim(runner)["jobs"]:
        assert all(job["input"] is not None for job in jobs)
        results = [outcome(job, result={}) for job in jobs]
        done += engine.finish(runner, results)["ok"]
    return done


# --- a sweep ----------------------------------------------------------------------------------


def test_a_sweep_goes_in_chunks_of_ascending_keys(engine: Engine) -> None:
    """Each call enqueues the next chunk in order of the key; the short one is the last."""
    engine.add(1, 25)
    run = engine.start()
    found = [engine.discover(run, 10) for _ in range(4)]
    assert [(row["state"], row["enqueued"]) for row in found] == [
        ("open", 10), ("open", 10), ("open", 5), ("ended", 0),
    ]  # fmt: skip
    assert engine.column("select key::integer from backfill.job order by id") == [*range(1, 26)]


def test_a_sweep_of_nothing_ends(engine: Engine) -> None:
    """An empty needs view is swept in one call."""
    run = engine.start()
    assert engine.discover(run)["state"] == "open"
    assert engine.discover(run) == {"state": "ended", "enqueued": 0}


@pytest.mark.parametrize("kind", ["bigint", "uuid"])
def test_a_sweep_ends_while_rows_are_inserted(engine: Engine, kind: str) -> None:
    """With more inserted between any two chunks than a chunk holds, the sweep still ends; the
    next one takes what it left.
    """
    keyed(engine, kind, [])
    value = (
        "(select coalesce(max(id), 0) from keyed) + g" if kind == "bigint" else "gen_random_uuid()"
    )
    insert = f"insert into keyed select {value} from generate_series(1, 15) g"
    for _ in range(4):
        engine.rows(insert)
    other = engine.connect()
    run = engine.start("keyed")
    calls = 0
    while engine.discover(run, 10)["state"] == "open":
        engine.rows(insert, on=other)
        calls += 1
        # ascending keys lie beyond the high-water mark; of random ones, fewer and fewer lie ahead
        assert calls < (8 if kind == "bigint" else 60)
    enqueued = engine.value("select count(*) from backfill.job")
    there = engine.value("select count(*) from keyed")
    assert 60 <= enqueued < there
    engine.sweep(engine.start("keyed"), 50)
    assert engine.value("select count(*) from backfill.job") == there


def test_a_row_inserted_behind_is_left_to_the_next_sweep(engine: Engine) -> None:
    """A row that comes to stand behind the sweep's position is found by a run that starts later."""
    engine.add(10, 20)
    run = engine.start()
    engine.discover(run, 5)
    engine.add(1)
    assert engine.sweep(run, 5) == 6
    assert engine.keys("ready") == [str(key) for key in range(10, 21)]
    assert engine.sweep(engine.start()) == 1


def test_a_run_goes_on_with_the_sweep_it_finds_and_makes_one_of_its_own(engine: Engine) -> None:
    """A run that starts during a sweep takes it to its end, and then sweeps from the start."""
    engine.add(1, 10)
    first = engine.start()
    engine.discover(first, 6)
    engine.rows("delete from backfill.job where key = '2'")
    second = engine.start()
    states = [engine.discover(second, 6)["state"] for _ in range(4)]
    assert states == ["open", "open", "open", "ended"]
    assert len(engine.keys("ready")) == 10
    # and what began after it is good enough for the older one
    assert engine.discover(first)["state"] == "ended"


def test_one_session_sweeps_at_a_time(engine: Engine) -> None:
    """A second session is told 'busy' at once, from the very first chunk on."""
    engine.add(1, 10)
    run = engine.start()
    session = engine.connect(autocommit=False)
    assert engine.discover(run, 5, on=session) == {"state": "open", "enqueued": 5}
    assert engine.discover(run) == {"state": "busy", "enqueued": 0}
    session.commit()
    assert engine.discover(run, 5) == {"state": "open", "enqueued": 5}


def test_a_chunk_that_is_rolled_back_is_swept_again(engine: Engine) -> None:
    """Jobs and the sweep's position commit together."""
    engine.add(1, 10)
    run = engine.start()
    session = engine.connect(autocommit=False)
    engine.discover(run, 5, on=session)
    session.rollback()
    assert engine.sweep(run, 5) == 10


def test_a_run_that_ended_sweeps_no_more(engine: Engine) -> None:
    """A process that did not notice its run's end enqueues nothing for it."""
    engine.add(1, 3)
    for where in (None, "true"):
        run = engine.start(where=where)
        engine.value("select backfill.cancel(%s)", run)
        assert engine.discover(run) == {"state": "ended", "enqueued": 0}
    assert engine.states() == {}


def test_a_task_without_a_view_says_so(engine: Engine) -> None:
    """Where the needs view is gone, the error names it and what to do."""
    run = engine.start()
    engine.rows("drop view backfill.needs_sample")
    with pytest.raises(psycopg.Error, match=r"backfill\.needs_sample is missing") as caught:
        engine.discover(run)
    assert caught.value.sqlstate == "BF003"


# --- keys of any type -------------------------------------------------------------------------

KEYS = {
    "bigint": ["-5", "0", "7", "9223372036854775807"],
    "integer": ["2", "10"],
    "numeric": ["1.50", "10", "9"],
    "uuid": [str(uuid.UUID(int=n)) for n in (0, 17, 2**128 - 1)],
    "text": [
        "", " ", "it's", 'a "quoted" key', "back\\slash", "a,b", "{curly}", "null", "%s", "$1",
        "ключ", "鍵", "🔑", "line\nbreak", "A", "a", "é", "e\u0301",
    ],
    "varchar(20)": ["b", "a'b"],
    "timestamptz": [
        "2024-03-31 01:59:59.999999+01", "2024-10-27 02:30:00+02", "2024-10-27 02:30:00+01",
        "0044-03-15 12:00:00+00 BC",
    ],
    "timestamp": ["2024-05-06 07:08:09", "2024-06-05 07:08:09.5"],
    "date": ["2024-05-06", "2024-06-05"],
    "interval": ["1 day", "2 hours"],
    "inet": ["10.0.0.1", "10.0.0.0/8"],
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_goes_all_the_way(engine: Engine, kind: str) -> None:
    """Rows with such keys are each enqueued, claimed with their inputs, and done once."""
    keyed(engine, kind, KEYS[kind])
    run = engine.start("keyed")
    assert engine.sweep(run, 1) == len(KEYS[kind])
    assert work_off(engine, run) == len(KEYS[kind])
    assert engine.value("select bool_and(done) from keyed")
    assert engine.sweep(engine.start("keyed"), 1) == 0


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_a_sessions_settings_make_no_second_job_of_a_key(engine: Engine, kind: str) -> None:
    """Sessions in other time zones and with other date styles mean the same rows."""
    keyed(engine, kind, KEYS[kind])
    here, there = engine.connect(), engine.connect()
    engine.rows("set timezone = 'Pacific/Chatham'", on=here)
    engine.rows("set datestyle = 'German'", on=here)
    engine.rows("set timezone = 'America/New_York'", on=there)
    engine.rows("set datestyle = 'SQL, DMY'", on=there)
    run = engine.start("keyed")
    while engine.discover(run, 1, on=here)["state"] == "open":
        pass
    again = engine.start("keyed", on=there)
    while engine.discover(again, 1, on=there)["state"] == "open":
        pass
    assert engine.states("keyed") == {"ready": len(KEYS[kind])}
    runner = engine.join(run)
    jobs = engine.claim(runner, on=there)["jobs"]
    assert all(job["input"] is not None for job in jobs)
    engine.finish(runner, [outcome(job, result={}) for job in jobs], on=here)
    assert engine.value("select bool_and(done) from keyed")
