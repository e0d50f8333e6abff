"""Live rows: what the triggers note, and who takes it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from runner.database.files import statement
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine, Row, outcome

NOTED = "select key from backfill.arrival order by id"


@pytest.fixture
def watched(engine: Engine) -> Iterator[Engine]:
    """The sample task, watched; unwatched after the test, so that the database is as before."""
    engine.rows("select backfill.declare_inputs('sample', 'item', 'id', '{input}')")
    engine.rows("select backfill.watch('sample')")
    yield engine
    engine.rows("delete from backfill.input")
    engine.rows("delete from backfill.arrival")


def claim_new(
    engine: Engine, runner: int, want: int = 100, after: int = 0, *, on: Connection | None = None
) -> Row:
    """Take new rows."""
    return engine.one("select * from backfill.claim_new(%s, %s, %s)", runner, want, after, on=on)


def keys(claim: Row) -> list[str]:
    """Keys of what was handed out."""
    return [job["key"] for job in claim["jobs"]]


def idle(engine: Engine) -> int:
    """A runner of a run without a condition, that has nothing to do yet."""
    return engine.join(engine.start())


# --- what is noted --------------------------------------------------------------------------------


def test_new_rows_and_changed_inputs_are_noted(watched: Engine) -> None:
    """Inserts, and updates that change an input, are noted; other updates and deletes are not."""
    watched.add(1, 3)
    assert watched.column(NOTED) == ["1", "2", "3"]
    watched.rows("update item set behaviour = 'slow', input = input")
    watched.rows("delete from item where id = 3")
    assert watched.column(NOTED) == ["1", "2", "3"]
    watched.rows("update item set input = 'b' where id = 2")
    watched.rows("update item set id = 9 where id = 1")
    assert watched.column(NOTED) == ["1", "2", "3", "2", "9"]


def test_results_are_not_noted(watched: Engine) -> None:
    """What the task writes itself is no change of an input."""
    _, runner = watched.at_work(3)
    watched.rows("delete from backfill.arrival")
    watched.finish(runner, [outcome(job) for job in watched.claim(runner)["jobs"]])
    assert watched.states() == {"ok": 3}
    assert watched.column(NOTED) == []


def test_copy_and_upserts_are_noted(watched: Engine) -> None:
    """Of an upsert both what it inserted and what it changed; no row leaves nothing behind."""
    with watched.connection.cursor().copy("copy item (id) from stdin") as copy:
        copy.write("1\n2\n")
    watched.rows(
        "insert into item (id) values (2), (3)"
        " on conflict (id) do update set input = item.input || 'x'"
    )
    watched.rows("insert into item (id) select 4 where false")
    assert sorted(watched.column(NOTED)) == ["1", "2", "2", "3"]


def test_a_trigger_of_the_applications_is_no_way_around(watched: Engine) -> None:
    """An input that a trigger changed is noted, though the statement did not name its column."""
    watched.add(1)
    watched.rows("delete from backfill.arrival")
    watched.rows(
        "create function rewrite() returns trigger language plpgsql as"
        " $$ begin new.input := 'z'; return new; end $$;"
        "create trigger rewrites before update on item for each row execute function rewrite();"
        "update item set behaviour = 'slow'"
    )
    assert watched.column(NOTED) == ["1"]


def test_columns_of_any_type_are_watched(watched: Engine) -> None:
    """Types without an equality too; and a key that is a time is noted as jobs have it."""
    watched.rows(
        "create table odd (id timestamptz, a json, b point, c xml, d text[]);"
        "insert into backfill.input (task, place, relation, key, columns)"
        " values ('sample', 2, 'odd', 'id', '{a,b,c,d}');"
        "select backfill.watch('sample');"
        "set timezone = 'Asia/Tokyo'; set datestyle = 'German'"
    )
    watched.rows("insert into odd values ('2026-01-02 03:04:05+00', '{}', '(1,2)', null, '{x}')")
    watched.rows("update odd set a = '{}', b = '(1,2)', c = null, d = '{x}'")
    watched.rows("update odd set b = '(2,2)'")
    assert watched.column(NOTED) == ["2026-01-02 03:04:05+00"] * 2
    watched.rows("reset timezone; reset datestyle; drop table odd cascade")


def test_partitions_are_watched(watched: Engine) -> None:
    """Of a partitioned table also what is inserted into a partition by its own name."""
    watched.rows(
        "create table part (id bigint, input text) partition by range (id);"
        "create table part_1 partition of part for values from (1) to (10);"
        "select backfill.declare_inputs('sample', 'part', 'id', '{input}')"
    )
    watched.rows("insert into part values (1, 'a'); insert into part_1 values (2, 'a')")
    watched.rows("update part_1 set input = 'b' where id = 2")
    assert watched.column(NOTED) == ["1", "2", "2"]


def test_a_flood_is_one_line(watched: Engine) -> None:
    """Ten thousand rows in one statement are noted as one, and a sweep finds them."""
    watched.add(1, 10_000)
    assert watched.column(NOTED) == [None]
    run, runner = watched.at_work()
    watched.add(10_001, 20_000)
    assert watched.discover(run)["state"] == "ended"
    assert claim_new(watched, runner)["sweep"]
    assert watched.column(NOTED) == []
    assert watched.sweep(run, 10_000) == 10_000


def test_a_flood_during_a_sweep_is_swept_after_it(watched: Engine) -> None:
    """What came behind a sweep's place waits for the next one, which begins when it is over."""
    watched.add(1, 10)
    run = watched.start()
    runner = watched.join(run)
    assert watched.discover(run, 5)["state"] == "open"
    watched.rows("insert into backfill.arrival (task) values ('sample')")
    assert not claim_new(watched, runner)["sweep"]
    watched.sweep(run, 5)
    assert claim_new(watched, runner)["sweep"]
    assert watched.discover(run)["state"] == "open"


# --- the application is in nobody's hands ---------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    [
        "alter table item rename column id to item_id",
        "alter table backfill.arrival rename column key to k",
        "drop table backfill.arrival cascade",
        "drop function backfill.wake(text)",
    ],
)
def test_what_is_broken_here_breaks_no_insert(watched: Engine, harm: str) -> None:
    """Whatever became of the names that the triggers use, rows go in and change as ever."""
    watched.add(1)
    on = watched.connect(autocommit=False)
    watched.rows("set client_min_messages = warning", on=on)
    watched.rows(harm, on=on)
    watched.rows("insert into item (behaviour, " + _key(watched, on) + ") values ('ok', 5)", on=on)
    watched.rows("update item set input = 'other'", on=on)
    assert watched.value("select count(*) from item where input = 'other'", on=on) == 2
    on.rollback()


def _key(engine: Engine, on: Connection) -> str:
    found = engine.value(
        "select attname::text from pg_attribute"
        " where attrelid = 'item'::regclass and attnum = 1", on=on,
    )  # fmt: skip
    return str(found)


def test_nothing_is_left_without_the_schema(watched: Engine) -> None:
    """Dropping the schema takes the triggers off the application's table."""
    on = watched.connect(autocommit=False)
    watched.rows("set client_min_messages = warning", on=on)
    watched.rows("drop schema backfill cascade", on=on)
    watched.rows("insert into item (id) values (1); update item set input = 'b'", on=on)
    left = "select tgname::text from pg_trigger where tgrelid = 'item'::regclass"
    assert [row["tgname"] for row in watched.rows(left, on=on)] == ["count_writes"]
    on.rollback()


def test_the_application_needs_no_rights_here(watched: Engine) -> None:
    """Who may insert into the table and sees nothing of this schema inserts as before."""
    with login(watched.database.url) as conninfo:
        on = watched.connect(conninfo=conninfo)
        watched.rows(f"grant insert on item to {on.info.user}")
        watched.rows("insert into item (id) values (1)", on=on)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            watched.rows("select * from backfill.arrival", on=on)
        watched.rows(f"revoke insert on item from {on.info.user}")
    assert watched.column(NOTED) == ["1"]


def test_the_application_waits_for_nobody(watched: Engine) -> None:
    """A row goes in while its job is locked, arrivals are being taken, and a sweep is under way."""
    run, runner = watched.at_work(1)
    watched.add(2)
    on = watched.connect(autocommit=False)
    watched.discover(run, on=on)
    claim_new(watched, runner, on=on)
    watched.rows("select * from backfill.job for update", on=on)
    app = watched.connect(conninfo=watched.database.direct)
    watched.rows("set lock_timeout = '1ms'", on=app)
    watched.rows("insert into item (id) values (3); update item set input = 'b'", on=app)
    on.rollback()


def test_serializable_transactions_get_along(watched: Engine) -> None:
    """Two that insert at once commit, though others take arrivals meanwhile."""
    runner = idle(watched)
    first, second = watched.connect(autocommit=False), watched.connect(autocommit=False)
    for on in (first, second):
        on.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    watched.rows("insert into item (id) values (1)", on=first)
    watched.rows("insert into item (id) values (2)", on=second)
    claim_new(watched, runner)
    watched.rows("update item set input = 'c' where id = 1", on=first)
    first.commit()
    second.commit()
    assert keys(claim_new(watched, runner)) == ["1", "2"]


def test_many_statements_need_no_subtransactions(watched: Engine) -> None:
    """What a transaction's statements note carries its own id, not one for each statement."""
    with watched.connection.transaction():
        own = watched.value("select pg_current_xact_id()::xid")
        for number in range(1, 71):
            watched.rows("insert into item (id) values (%s)", number)
        watched.rows("update item set input = 'b'")
    assert watched.column("select distinct xmin from backfill.arrival") == [own]


def test_only_who_sleeps_is_notified(watched: Engine) -> None:
    """Inserts notify while a process says that it sleeps, and not otherwise."""
    sleeper = watched.connect(conninfo=watched.database.direct)
    task = {"task": "sample"}
    sleeper.execute(statement("listen"))
    watched.add(1)
    sleeper.execute(statement("sleep"), task)
    assert list(sleeper.notifies(timeout=0)) == []
    with watched.connection.transaction():
        watched.add(2)
        watched.add(3)
    assert [said.payload for said in sleeper.notifies(timeout=5, stop_after=1)] == ["sample"]
    sleeper.execute(statement("awake"), task)
    watched.add(4)
    assert list(sleeper.notifies(timeout=0)) == []
    assert watched.column(NOTED) == ["1", "2", "3", "4"]


# --- who takes it ---------------------------------------------------------------------------------


def test_new_rows_come_before_the_backlog(watched: Engine) -> None:
    """A row that came last is handed out first, and once."""
    watched.rows("select backfill.unwatch('sample')")
    _, runner = watched.at_work(50)
    watched.rows("select backfill.watch('sample')")
    watched.add(99)
    claim = claim_new(watched, runner)
    assert keys(claim) == ["99"]
    assert claim["jobs"][0]["input"]["behaviour"] == "ok"
    watched.finish(runner, [outcome(job) for job in claim["jobs"]])
    assert watched.job(99)["state"] == "ok"
    assert keys(claim_new(watched, runner)) == []
    assert watched.column(NOTED) == []
    assert watched.states() == {"ready": 50, "ok": 1}
    progress = watched.progress()
    assert (progress["total"], progress["done"]) == (51, 1)


def test_a_waiting_row_is_pulled_forward(watched: Engine) -> None:
    """A job in the queue whose row changes is handed out at once, and no second one is made."""
    watched.at_work(50)
    watched.rows("delete from backfill.arrival")
    watched.rows("update item set input = 'b' where id = 40")
    assert keys(claim_new(watched, idle(watched))) == ["40"]
    assert watched.states() == {"ready": 49, "running": 1}


def test_a_finished_row_is_done_again(watched: Engine) -> None:
    """Whatever its outcome was, a changed row is done again and counted once."""
    _, runner = watched.at_work(3)
    jobs = watched.claim(runner)["jobs"]
    kinds = ("ok", "nothing_found", "failed")
    watched.finish(runner, [outcome(j, k) for j, k in zip(jobs, kinds, strict=True)])
    watched.rows("delete from backfill.arrival; update item set input = 'b'")
    again = claim_new(watched, runner)
    assert keys(again) == ["1", "2", "3"]
    watched.finish(runner, [outcome(job) for job in again["jobs"]])
    progress = watched.progress()
    assert [progress[k] for k in ("total", "ok", "nothing_found", "failed")] == [3, 3, 0, 0]
    assert watched.column("select failures from backfill.job") == [0, 0, 0]


def test_what_needs_no_work_becomes_no_job(watched: Engine) -> None:
    """A row that the needs view does not show leaves nothing behind."""
    watched.rows("insert into item (id, result, result_version) values (1, 'result of a', 1)")
    claim = claim_new(watched, idle(watched))
    assert (claim["status"], claim["seen"], claim["jobs"]) == ("none", 1, [])
    assert watched.states() == {}
    assert watched.column(NOTED) == []


def test_a_change_while_the_row_is_in_hand_is_not_lost(watched: Engine) -> None:
    """It is done again as soon as the attempt that read it before is over."""
    _, runner = watched.at_work(1)
    watched.rows("delete from backfill.arrival")
    jobs = watched.claim(runner)["jobs"]
    watched.rows("update item set input = 'b'")
    other = idle(watched)
    assert keys(claim_new(watched, other)) == []
    watched.finish(runner, [outcome(job) for job in jobs])
    again = claim_new(watched, other)
    assert keys(again) == ["1"]
    watched.finish(other, [outcome(job) for job in again["jobs"]])
    assert watched.value("select result from item") == "result of b"
    assert watched.column(NOTED) == []


def test_a_retry_that_waits_is_left_alone_unless_its_input_changed(watched: Engine) -> None:
    """A new input is tried at once; the same one when the server said that it may come again."""
    _, runner = watched.at_work(1)
    job = watched.claim(runner)["jobs"][0]
    watched.finish(runner, [outcome(job, "retry", after=3600)])
    assert keys(claim_new(watched, runner)) == []
    assert watched.column(NOTED) == []
    watched.rows("update item set input = 'b'")
    assert keys(claim_new(watched, runner)) == ["1"]
    assert watched.job(1)["failures"] == 0


def test_runs_with_a_condition_or_a_limit_leave_new_rows_to_others(watched: Engine) -> None:
    """They took upon them what they said, and no more; a row reserved for one stays with it."""
    watched.add(1)
    narrow = watched.start(where="native_key = 1")
    watched.sweep(narrow)
    for run in (narrow, watched.start(limit=5)):
        claim = claim_new(watched, watched.join(run))
        assert (claim["watched"], claim["jobs"]) == (False, [])
    claim = claim_new(watched, idle(watched))
    assert (claim["watched"], claim["jobs"]) == (True, [])
    assert watched.job(1)["lane"] == narrow


def test_the_word_of_an_operator_holds(watched: Engine) -> None:
    """Paused, cancelled or at another version, a process gets no new row either."""
    watched.add(1)
    run = watched.start()
    runner, old = watched.join(run), watched.join(run, version=2)
    assert claim_new(watched, old)["status"] == "version"
    watched.rows("select backfill.pause('sample')")
    assert claim_new(watched, runner)["status"] == "paused"
    watched.rows("select backfill.resume('sample')")
    watched.rows("select backfill.cancel(%s)", run)
    assert claim_new(watched, runner)["status"] == "cancelled"
    assert watched.states() == {}
    assert watched.column(NOTED) == ["1"]


def test_what_a_used_up_budget_lets_through_is_handed_on(watched: Engine) -> None:
    """A row whose unsettled call may free money is handed out by whichever claim asks first."""
    run, runner = watched.at_work(1)
    job = watched.claim(runner)["jobs"][0]
    watched.rows("select backfill.set_budget('sample', 1)")
    intent = {
        "id": str(uuid4()), "key": job["key"], "provider": "oracle", "operation": "Guess",
        "region": "*", "subject": "", "reference": "", "payer": "", "usd": 1,
    }  # fmt: skip
    watched.rows("select * from backfill.intend(%s, %s, '[]')", runner, Jsonb([intent]))
    watched.silent(runner, 100)
    watched.rescue()
    watched.rows("update backfill.job set solo = false")
    claim = claim_new(watched, watched.join(run))
    assert (claim["status"], keys(claim)) == ("jobs", ["1"])
    assert [effect["id"] for effect in claim["jobs"][0]["effects"]] == [intent["id"]]


def test_two_processes_share_new_rows(watched: Engine) -> None:
    """What one is taking, the other passes over; neither waits."""
    run = watched.start()
    first, second = watched.join(run), watched.join(run)
    watched.add(1, 4)
    on = watched.connect(autocommit=False)
    taken = claim_new(watched, first, 2, on=on)
    assert keys(taken) == ["1", "2"]
    assert keys(claim_new(watched, second)) == ["3", "4"]
    on.commit()
    assert keys(claim_new(watched, second)) == []


def test_a_place_is_remembered(watched: Engine) -> None:
    """A look goes on where the last one ended; a late transaction is found from the start."""
    runner = idle(watched)
    late = watched.connect(autocommit=False)
    watched.rows("insert into item (id) values (1)", on=late)
    watched.add(2)
    claim = claim_new(watched, runner)
    assert keys(claim) == ["2"]
    late.commit()
    assert keys(claim_new(watched, runner, after=claim["last_id"])) == []
    assert keys(claim_new(watched, runner)) == ["1"]


def test_a_dead_process_gives_new_rows_back(watched: Engine) -> None:
    """What it held is ready again, for anybody."""
    runner = idle(watched)
    watched.add(1, 2)
    claim_new(watched, runner)
    watched.silent(runner, 100)
    watched.rescue()
    assert watched.states() == {"ready": 2}


# --- on and off -----------------------------------------------------------------------------------


def test_off_leaves_nothing(watched: Engine) -> None:
    """Without a watch nothing is noted, and nothing of ours is on the table; both are on record."""
    watched.add(1)
    assert watched.value("select backfill.unwatch('sample')") == 1
    watched.add(2)
    assert watched.column(NOTED) == []
    left = "select tgname::text from pg_trigger where tgrelid = 'item'::regclass"
    assert watched.column(left) == ["count_writes"]
    assert watched.value("select reason from backfill.watches") == "not watched"
    assert watched.value("select backfill.unwatch('sample')") == 0
    assert [len(watched.events(a)) for a in ("watch", "unwatch")] == [1, 1]


def test_a_removed_task_takes_its_triggers_along(watched: Engine) -> None:
    """After unregister_task() the application's table is as it was."""
    on = watched.connect(autocommit=False)
    watched.add(1)
    watched.rows("select backfill.unregister_task('sample')", on=on)
    watched.rows("insert into item (id) values (2)", on=on)
    assert watched.value("select count(*) from backfill.arrival", on=on) == 0
    on.rollback()


def test_what_cannot_be_watched_is_refused_with_a_reason(engine: Engine) -> None:
    """Nothing declared, no such column, a view, or a key of another kind."""
    for call, words in (
        ("watch('sample')", "nobody has said which columns sample reads"),
        ("declare_inputs('sample', 'item', 'id', '{nope}')", "no column nope"),
        ("declare_inputs('sample', 'item', 'input', '{id}')", "keys of type bigint"),
        ("declare_inputs('sample', 'backfill.progress', 'task', '{task}')", "is no table"),
    ):
        with pytest.raises(psycopg.Error, match=words) as caught:
            engine.rows(f"select backfill.{call}")
        assert caught.value.sqlstate == "BF010"


def test_a_watch_says_what_is_wrong_with_it(watched: Engine) -> None:
    """Rows that nobody takes, triggers that are off or gone, and a renamed column are told."""
    reason = "select reason from backfill.watches"
    assert watched.value(reason) is None
    watched.add(1)
    assert watched.value(reason) == "rows wait, and no process is running"
    on = watched.connect(autocommit=False)
    for harm, words in (
        ("alter table item disable trigger user", "its triggers are disabled"),
        ("drop trigger backfill_sample_1_u on item", "its triggers are gone: watch it again"),
        ("alter table item rename column input to inputs",
         "no column input any more: declare its inputs anew"),
    ):  # fmt: skip
        watched.rows(harm, on=on)
        assert watched.value(reason, on=on) == words
    on.rollback()


def test_only_an_owner_says_what_is_read(watched: Engine) -> None:
    """An operator turns a watch on and off; which columns are noted is not his to choose."""
    with login(watched.database.url, "backfill_operator") as conninfo:
        on = watched.connect(conninfo=conninfo)
        assert watched.value("select backfill.unwatch('sample')", on=on) == 1
        assert watched.value("select backfill.watch('sample')", on=on) == 1
        assert watched.value("select set_by from backfill.watches") == on.info.user
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            watched.rows(
                "select backfill.declare_inputs('sample', 'item', 'id', '{result}')", on=on
            )
