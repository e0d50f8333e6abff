"""What a reader, a runner and an operator may do, and what none of them may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from runner.database.session import Session
from runner.loop.process import Limits, Process
from tests import sample
from tests.engine.roles import MAY_CALL, MAY_SET, MAY_WRITE, SECRET, STEERING, login
from tests.plugins.engine import Connection, Engine, outcome

TABLES = (
    "task", "run", "runner", "job", "sweep", "tally", "runner_minute", "attempt_error", "event",
    "rate_limit", "run_figure", "run_meter", "reservation", "effect", "price", "task_budget",
    "spend_month", "spend_day", "guard", "guard_reading", "arrival", "input",
    "runner_recent",
    "token", "login_session", "login_failure",
)  # fmt: skip
REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def logins(engine: Engine) -> Iterator[dict[str, str]]:
    """Connection strings of a login for each role, by the role's last word."""
    with ExitStack() as stack:
        yield {
            role.removeprefix("backfill_"): stack.enter_context(login(engine.database.url, role))
            for role in MAY_CALL
        }


def session(engine: Engine, conninfo: str) -> Connection:
    """A session of this login."""
    return engine.connect(conninfo=conninfo)


def refused(engine: Engine, on: Connection, statement: str) -> None:
    """The statement is refused for want of a right."""
    with pytest.raises(REFUSED):
        engine.rows(statement, on=on)


# --- the grants as they are -------------------------------------------------------------------


@pytest.mark.parametrize("role", MAY_CALL)
def test_a_role_may_call_its_functions_and_no_others(engine: Engine, role: str) -> None:
    """Of the engine's functions each role may call those that it needs, not one more."""
    allowed = engine.column(
        "select proname::text from pg_proc where pronamespace = 'backfill'::regnamespace"
        " and proname <> 'apply_sample' and has_function_privilege(%s, oid, 'execute')",
        role,
    )
    assert set(allowed) == MAY_CALL[role]
    assert len(allowed) == len(MAY_CALL[role])


def test_nobody_else_may_call_anything(engine: Engine) -> None:
    """Without a role no function of the engine can be called, and nothing be seen."""
    open_to_all = engine.column(
        "select p.proname::text from pg_proc p"
        " where p.pronamespace = 'backfill'::regnamespace and proname <> 'apply_sample'"
        "   and (p.proacl is null or exists ("
        "        select from aclexplode(p.proacl) a where a.grantee = 0))"
    )
    assert open_to_all == []
    with login(engine.database.url) as nobody:
        on = session(engine, nobody)
        for statement in ("select * from backfill.progress", "select backfill.pause('sample')"):
            refused(engine, on, statement)


@pytest.mark.parametrize("role", MAY_CALL)
def test_a_role_may_read_all_and_write_next_to_nothing(engine: Engine, role: str) -> None:
    """Every table and view can be read, but for secrets; nothing is written, but for the knobs of
    an operator and what a worker does with its queue. The server's own role does neither.
    """
    rights = engine.rows(
        "select c.relname::text as relation, p.what"
        "  from pg_class c cross join unnest("
        "       array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])"
        "       as p (what)"
        " where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'v')"
        "   and has_table_privilege(%s, c.oid, p.what)",
        role,
    )
    there = engine.column(
        "select relname::text from pg_class"
        " where relnamespace = 'backfill'::regnamespace and relkind in ('r', 'v')"
    )
    hidden = {name for name, reader in SECRET.items() if reader != role}
    seen = set() if role == "backfill_server" else set(there) - hidden
    written = MAY_WRITE.get(role, set())
    assert {(row["relation"], row["what"]) for row in rights} == written | {
        (name, "select") for name in seen
    }
    columns = engine.rows(
        "select c.relname::text as relation, a.attname::text as name"
        "  from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'v')"
        "   and a.attnum > 0 and not a.attisdropped"
        "   and has_column_privilege(%s, c.oid, a.attname, 'insert, update, references')"
        "   and c.relname <> all (%s)",
        role,
        [relation for relation, _ in written],
    )
    assert {(row["relation"], row["name"]) for row in columns} == {
        (relation, name) for relation, names in MAY_SET.get(role, {}).items() for name in names
    }


@pytest.mark.parametrize("role", MAY_CALL)
def test_a_role_may_make_nothing(engine: Engine, role: str) -> None:
    """No role makes objects in the schema, owns any, logs in, or has an attribute of power."""
    assert engine.value("select has_schema_privilege(%s, 'backfill', 'usage')", role)
    assert not engine.value("select has_schema_privilege(%s, 'backfill', 'create')", role)
    assert engine.one(
        "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        "  from pg_roles where rolname = %s",
        role,
    ) == dict.fromkeys(
        ("rolcanlogin", "rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication",
         "rolbypassrls"), False,
    )  # fmt: skip
    assert engine.value("select count(*) from pg_class where relowner = %s::regrole", role) == 0
    assert engine.value("select count(*) from pg_proc where proowner = %s::regrole", role) == 0


def test_each_role_says_what_it_is_for(engine: Engine) -> None:
    """A role has a comment, for whoever finds it on the server."""
    said = "select shobj_description(to_regrole(%s), 'pg_authid')"
    for role in MAY_CALL:
        assert engine.value(said, role).startswith("pgbackfill: ")


# --- attempts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["reader", "runner", "operator"])
def test_no_role_writes_a_table(engine: Engine, logins: dict[str, str], word: str) -> None:
    """Plain statements that write are refused to each of them, on each table, by the database."""
    engine.at_work(1)
    on = session(engine, logins[word])
    for table in TABLES:
        for statement in (
            f"insert into backfill.{table} default values",
            f"delete from backfill.{table}",
            f"truncate backfill.{table}",
        ):
            refused(engine, on, statement)
    for statement in (
        "update backfill.job set state = 'ready'",
        "update backfill.task set version = 2",
        "update backfill.task set paused_at = null",
        "update backfill.event set who = 'x'",
        "update item set result = 'x'",
        "select * from item",
        "select backfill.register_task('mine', 1, '')",
        "select backfill.unregister_task('sample')",
        "select backfill.prune()",
        "select backfill.log_event('start', 'sample')",
        "select backfill.inputs('sample', '{1}')",
        "select backfill.set_up_roles()",
        "create view backfill.needs_mine as select 1",
        "alter table backfill.event disable trigger all",
        f"set role {engine.connection.info.user}",
        """select backfill.apply_sample('[{"key": "1", "result": {"text": "x"}}]')""",
    ):
        refused(engine, on, statement)
    assert engine.value("select result from item") is None


def test_a_reader_looks_and_does_nothing(engine: Engine, logins: dict[str, str]) -> None:
    """A reader sees each view and a dry run, and may neither run nor steer anything."""
    run, runner = engine.at_work(3)
    on = session(engine, logins["reader"])
    for view in ("progress", "running", "stalled", "failures", "failure_causes", "throughput",
                 "runs", "needs_sample", "event", "effects", "spend", "budgets",
                 "guards"):  # fmt: skip
        engine.rows(f"select * from backfill.{view}", on=on)
    assert engine.value("select pending from backfill.count_pending('sample')", on=on) == 3
    assert len(engine.rows("select * from backfill.preview('sample')", on=on)) == 3
    for statement in (
        "select backfill.start('sample')",
        "select backfill.pause('sample')",
        f"select backfill.cancel({run})",
        "select backfill.retry('sample')",
        "select backfill.rescue()",
        f"select backfill.claim({runner}, 1)",
        f"select backfill.join_run({run}, 1, 'h', 1, false)",
        "update backfill.task set batch_size = 1",
    ):
        refused(engine, on, statement)
    assert engine.states() == {"ready": 3}


def test_an_operator_steers_and_does_not_work(engine: Engine, logins: dict[str, str]) -> None:
    """An operator starts, pauses, resumes, cancels, retries and sets limits, each on record as
    his; he neither claims nor finishes.
    """
    run, runner = engine.at_work(2)
    jobs = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(jobs[0], "failed")])
    on = session(engine, logins["operator"])
    mine = engine.start(on=on, where="native_key > 0", limit=5)
    for statement in (
        "select backfill.pause('sample', 'mine')",
        "select backfill.resume('sample')",
        "select backfill.retry('sample')",
        f"select backfill.cancel({mine})",
        "select backfill.rescue()",
        "update backfill.task set " + ", ".join(f"{c} = {c}" for c in sorted(STEERING)),
        "update backfill.task set batch_size = 7",
    ):
        engine.rows(statement, on=on)
    acted = engine.rows(
        "select action, who from backfill.event where who <> session_user order by id"
    )
    assert [event["action"] for event in acted] == [
        "start", "pause", "resume", "retry", "cancel", "end", "set",
    ]  # fmt: skip
    assert {event["who"] for event in acted} == {on.info.user}
    assert engine.value("select requested_by from backfill.run where id = %s", mine) == on.info.user
    for statement in (
        f"select backfill.claim({runner}, 1)",
        f"select backfill.finish({runner}, '[]')",
        f"select backfill.release({runner})",
        f"select backfill.leave({runner}, 'done')",
        f"select backfill.heartbeat({runner})",
        f"select backfill.discover({run})",
        f"select backfill.join_run({run}, 1, 'h', 1, false)",
        f"select backfill.end_run({run}, 'done')",
        f"select backfill.enqueue({run}, '{{9}}', '{{x}}', '{{}}', '{{}}', now(), '9', '9', true)",
    ):
        refused(engine, on, statement)
    assert engine.job(2)["runner_id"] == runner


def test_a_runner_works_and_does_not_steer(engine: Engine, logins: dict[str, str]) -> None:
    """A runner may not pause, cancel, retry or set anything."""
    run, _ = engine.at_work(1)
    on = session(engine, logins["runner"])
    for statement in (
        "select backfill.pause('sample')",
        "select backfill.resume('sample')",
        f"select backfill.cancel({run})",
        "select backfill.retry('sample')",
        "update backfill.task set batch_size = 1",
    ):
        refused(engine, on, statement)


def test_a_condition_has_the_rights_of_who_gives_it(engine: Engine, logins: dict[str, str]) -> None:
    """A condition sees nothing that its author may not see, although runs are made and swept by
    functions that may.
    """
    engine.rows("create table secret as select 1 as pin")
    engine.add(1)
    peeping = "exists (select from public.secret where pin = 1)"
    for word in ("operator", "runner"):
        with pytest.raises(REFUSED):
            engine.start(where=peeping, on=session(engine, logins[word]))
    with pytest.raises(REFUSED):
        engine.rows(
            "select * from backfill.preview('sample', %s)",
            peeping,
            on=session(engine, logins["reader"]),
        )
    # written past start(), it is evaluated with nobody's rights but the writer's
    create = (
        "select backfill.create_run("
        "'sample', '{}', %s, null, false, null, null, 'cli', 1, 1, 0, true)"
    )
    operator, runner = session(engine, logins["operator"]), session(engine, logins["runner"])
    smuggled = engine.value(create, peeping, on=operator)
    for on in (runner, engine.connection):
        for call in (engine.join, engine.discover):
            with pytest.raises(psycopg.Error) as caught:
                call(smuggled, on=on)
            assert caught.value.sqlstate == "BF005"
    own = engine.value(create, peeping, on=runner)
    with pytest.raises(REFUSED):
        engine.discover(own, on=runner)


def test_a_new_tasks_view_can_be_read_at_once(engine: Engine, logins: dict[str, str]) -> None:
    """A task that is installed later needs no grant to be looked at and worked for."""
    engine.rows("""
        create view backfill.needs_later as
        select '1'::text as key, 1 as native_key, null::text as revision;
        create function backfill.apply_later(results jsonb) returns void language sql as '';
        select backfill.register_task('later', 1, 'Later.');
    """)
    assert engine.rows("select key from backfill.needs_later", on=session(engine, logins["reader"]))
    on = session(engine, logins["runner"])
    run = engine.start("later", on=on)
    runner = engine.join(run, on=on)
    assert engine.discover(run, on=on)["enqueued"] == 1
    (job,) = engine.claim(runner, on=on)["jobs"]
    assert engine.finish(runner, [outcome(job, result={})], on=on)["ok"] == 1


def test_grants_reach_the_tasks_that_are_there(engine: Engine, logins: dict[str, str]) -> None:
    """Grants can be set anew at any time, on whatever was made meanwhile by whomever."""
    engine.rows("revoke all on backfill.needs_sample from backfill_reader")
    on = session(engine, logins["reader"])
    refused(engine, on, "select * from backfill.needs_sample")
    engine.rows("select backfill.set_up_roles()")
    engine.rows("select * from backfill.needs_sample", on=on)


def test_a_whole_run_as_a_plain_member_of_runner(
    engine: Engine, logins: dict[str, str], tmp_path: Path
) -> None:
    """A process whose login is a member of backfill_runner and nothing else does a run from the
    start to the end: retries, failures and rows with nothing to find, a limit or a condition.
    """
    behaviours = ("ok", "flaky", "fail", "nothing", "skip", "throttled", "bad_value")
    for number, behaviour in enumerate(behaviours, start=1):
        sample.add(engine.connection, number * 10 - 9, number * 10, behaviour)
    conninfo = logins["runner"]

    def run_with(where: str | None, limit: int | None) -> tuple[int, str]:
        with Session(conninfo, name="starter") as starter:
            query = "select backfill.start('sample', '{}', %s, %s, p_source => 'cli') as run"
            run = int(starter.execute(query, [where, limit])[0]["run"])
        with sample.task.open({"folder": str(tmp_path)}) as compute:
            process = Process(
                conninfo, sample.task, run, compute, Limits(threads=2), threading.Event()
            )
            return run, process.work()

    first, why = run_with("native_key <= 10", None)
    assert (why, engine.states()) == ("done", {"ok": 10})
    _, why = run_with(None, 5)
    assert (why, sum(engine.states().values()) >= 15) == ("limit", True)
    last, why = run_with(None, None)
    assert why == "done"
    assert engine.states() == {"ok": 30, "failed": 20, "nothing_found": 10, "skipped": 10}
    assert engine.value("select count(*) from item where writes = 1") == 30
    runs = engine.rows(
        "select requested_by, exit_reason from backfill.runs where run in (%s, %s)", first, last
    )
    name = psycopg.conninfo.conninfo_to_dict(conninfo)["user"]
    assert runs == [{"requested_by": name, "exit_reason": "done"}] * 2
    direct = engine.value("select bool_and(direct) from backfill.runner")
    assert direct is not engine.database.pooled
