"""Every function of the engine, and every relation, by everybody who could come: exactly what is
meant to be allowed is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.engine.access import PG_ROLE, acting, sha256
from tests.engine.roles import MAY_CALL, SECRET, login
from tests.plugins.engine import Connection, Engine

WHO = {"nobody": None, **{role.removeprefix("backfill_"): role for role in MAY_CALL}}
REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def logins(engine: Engine) -> Iterator[dict[str, str]]:
    """Connection strings of a login for each role, and of one that is a member of none."""
    with ExitStack() as stack:
        yield {
            who: stack.enter_context(login(engine.database.url, *([role] if role else [])))
            for who, role in WHO.items()
        }


def user(conninfo: str) -> str:
    """The login's name."""
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["user"])


def test_every_function_by_everybody(engine: Engine, logins: dict[str, str]) -> None:
    """Of all functions that are guarded a login may call those of its role, and no others; the
    server's own login has next to none before it takes a role on.
    """
    functions = engine.rows("select function::oid as oid, name from backfill.guarded_functions()")
    assert len(functions) > 100
    for who, conninfo in logins.items():
        allowed = {
            row["name"]
            for row in engine.rows(
                "select f.name from backfill.guarded_functions() f"
                " where has_function_privilege(%s, f.function::oid, 'execute')",
                user(conninfo),
            )
        }
        assert allowed == MAY_CALL.get(f"backfill_{who}", set()), who


def test_every_function_of_the_engine_is_guarded(engine: Engine) -> None:
    """None is left that anybody who gets into the schema may call."""
    left = engine.column(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace = 'backfill'::regnamespace and p.proname <> 'apply_sample'"
        "   and not exists (select from backfill.guarded_functions() g where g.function = p.oid)"
    )
    assert left == []


def test_functions_that_borrow_rights_look_nowhere_else(engine: Engine) -> None:
    """What runs with its owner's rights finds names in the catalog and the schema that it says, in
    no place where somebody else may put something of the same name.
    """
    open_to_tricks = engine.column(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace = 'backfill'::regnamespace and p.prosecdef"
        "   and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)"
    )
    assert open_to_tricks == []


def test_every_relation_by_everybody(engine: Engine, logins: dict[str, str]) -> None:
    """Readers, and who is one too, see all but what is secret; admins see tokens without hashes;
    nobody else sees anything, the server's own login neither.
    """
    relations = engine.column(
        "select relname::text from pg_class"
        " where relnamespace = 'backfill'::regnamespace and relkind in ('r', 'p', 'v', 'm')"
    )
    assert set(SECRET) <= set(relations)
    for who, conninfo in logins.items():
        seen = {
            name
            for name in relations
            if engine.value(
                "select has_table_privilege(%s, format('backfill.%%I', %s::text), 'select')"
                "    or has_any_column_privilege(%s, format('backfill.%%I', %s::text), 'select')",
                *[user(conninfo), name] * 2,
            )
        }
        public = set(relations) - set(SECRET)
        admins = {name for name, reader in SECRET.items() if reader == "backfill_admin"}
        expected = {"nobody": set(), "server": set(), "admin": public | admins}
        assert seen == expected.get(who, public), who


@pytest.mark.parametrize("who", ["reader", "runner", "operator", "admin"])
def test_what_may_be_seen_can_be_seen(engine: Engine, logins: dict[str, str], who: str) -> None:
    """Looking at a view needs no right that looking alone does not give, on a function in it."""
    on = engine.connect(conninfo=logins[who])
    relations = engine.column(
        "select format('backfill.%%I', relname) from pg_class"
        " where relnamespace = 'backfill'::regnamespace and relkind in ('r', 'v')"
        "   and has_table_privilege(%s, oid, 'select')",
        user(logins[who]),
    )
    assert len(relations) > 40
    for relation in relations:
        engine.rows(f"select * from {relation} limit 1", on=on)


def test_a_secret_is_not_in_the_statistics(engine: Engine, logins: dict[str, str]) -> None:
    """What the planner keeps of a table's values is as secret as the table."""
    for name in "abcdefgh":
        engine.rows("select backfill.create_token(%s, 'viewer')", name)
    engine.rows("analyze backfill.token")
    query = "select count(*) from pg_stats where schemaname = 'backfill' and tablename = 'token'"
    assert engine.value(query) > 0
    for who, conninfo in logins.items():
        assert engine.value(query, on=engine.connect(conninfo=conninfo)) == 0, who


def test_new_secrets_are_secret_after_another_set_up(engine: Engine) -> None:
    """Whatever was granted by hand, and by the default privileges of the schema."""
    engine.rows("grant select on backfill.token, backfill.tokens to backfill_reader")
    engine.rows("select backfill.set_up_roles()")
    for relation in SECRET:
        query = "select has_table_privilege('backfill_reader', %s, 'select')"
        assert not engine.value(query, f"backfill.{relation}")


# --- the calls of the service, as it makes them ----------------------------------------------

LOOK = frozenset({"viewer", "operator", "admin"})
STEER = frozenset({"operator", "admin"})
RULE = frozenset({"admin"})

CALLS: list[tuple[str, frozenset[str]]] = [
    ("select * from backfill.progress", LOOK),
    ("select * from backfill.running", LOOK),
    ("select * from backfill.stalled", LOOK),
    ("select * from backfill.failures", LOOK),
    ("select * from backfill.failure_causes", LOOK),
    ("select * from backfill.throughput", LOOK),
    ("select * from backfill.runs", LOOK),
    ("select * from backfill.guards", LOOK),
    ("select * from backfill.budgets", LOOK),
    ("select * from backfill.spend", LOOK),
    ("select * from backfill.effects", LOOK),
    ("select * from backfill.event", LOOK),
    ("select * from backfill.rate_limit", LOOK),
    ("select * from backfill.activity", LOOK),
    ("select * from backfill.schedules", LOOK),
    ("select * from backfill.windows", LOOK),
    ("select * from backfill.workers", LOOK),
    ("select * from backfill.webhooks", LOOK),
    ("select * from backfill.deliveries", LOOK),
    ("select * from backfill.watches", LOOK),
    ("select * from backfill.count_pending('sample')", LOOK),
    ("select * from backfill.preview('sample')", LOOK),
    ("select * from backfill.estimate_run('sample')", LOOK),
    ("select backfill.start('sample')", STEER),
    ("select backfill.start_once('k', 'sample')", STEER),
    ("select backfill.set_schedule('s', 'sample', '* * * * *')", STEER),
    ("select backfill.enable_schedule('s', false)", STEER),
    ("select backfill.drop_schedule('s')", STEER),
    ("update backfill.schedule set enabled = false", STEER),
    ("select backfill.set_window('sample', '22:00', '06:00')", STEER),
    ("select backfill.clear_window('sample')", STEER),
    ("select backfill.cancel(1)", STEER),
    ("select backfill.pause('sample')", STEER),
    ("select backfill.resume('sample')", STEER),
    ("select backfill.retry('sample')", STEER),
    ("select backfill.rescue()", STEER),
    ("select backfill.set_rate('rekognition', 1)", STEER),
    ("select backfill.set_budget('sample', 1)", STEER),
    ("select backfill.set_guard('g', 'wal_rate', 1)", STEER),
    ("select backfill.drop_guard('g')", STEER),
    ("select backfill.watch('sample')", STEER),
    ("select backfill.unwatch('sample')", STEER),
    ("update backfill.task set batch_size = 9", STEER),
    ("select * from backfill.tokens", RULE),
    ("select backfill.create_token('x', 'admin')", RULE),
    ("select backfill.revoke_token('x')", RULE),
    ("select backfill.prune()", RULE),
    ("select backfill.set_webhook('w', 'https://example.com/', '{after_run}')", RULE),
    ("select backfill.test_webhook('w')", RULE),
    ("select backfill.rotate_webhook_secret('w')", RULE),
    ("select backfill.drop_webhook('w')", RULE),
    # an admin is a runner too
    ("select backfill.claim(1, 1)", RULE),
    ("select backfill.join_fleet('host', 1, 1, '{}')", RULE),
    ("delete from backfill.pgqueuer", RULE),
    ("select * from backfill.token", frozenset()),
    ("select * from backfill.login_session", frozenset()),
    ("select hash from backfill.token", frozenset()),
    ("select url from backfill.webhook", frozenset()),
    ("select secret from backfill.webhook", frozenset()),
    (
        "insert into backfill.pgqueuer (priority, entrypoint, payload) values (1, 'x', '')",
        frozenset(),
    ),
    (
        "insert into backfill.delivery (webhook, moment, body) values ('w', 'test', '{}')",
        frozenset(),
    ),
    ("insert into backfill.event (action, token) values ('x', 'y')", frozenset()),
    ("update backfill.token set role = 'admin'", frozenset()),
    ("delete from backfill.login_failure", frozenset()),
    ("update backfill.event set token = 'x'", frozenset()),
    ("update backfill.run set requested_by = 'x'", frozenset()),
    ("select backfill.log_event('start', 'sample')", frozenset()),
    ("select backfill.register_task('mine', 1, '')", frozenset()),
    ("select backfill.unregister_task('sample')", frozenset()),
    ("select backfill.declare_inputs('sample', 'item', 'id', '{}')", frozenset()),
    ("select backfill.set_up_roles()", frozenset()),
    ("select backfill.take_down_roles()", frozenset()),
    ("select backfill.count_login('', 1, '1 second')", frozenset()),
    ("select backfill.note_use(1)", frozenset()),
    ("create table backfill.mine ()", frozenset()),
    ("create function backfill.mine() returns int language sql as 'select 1'", frozenset()),
    ("alter role backfill_operator superuser", frozenset()),
    ("grant backfill_admin to backfill_operator", frozenset()),
    ("select * from item", frozenset()),
]
"""What requests do, and what they may not, with the roles of tokens that are let through."""


def passes(engine: Engine, on: Connection, pg_role: str, statement: str) -> bool:
    """Whether the database lets a request do this; it is rolled back."""
    try:
        with acting(on, pg_role, "ann"):
            engine.rows(statement, on=on)
            raise psycopg.Rollback
    except REFUSED:
        return False
    except psycopg.Error as error:
        # allowed, and of no sense here: there is no run 1, no guard g
        if not str(error.sqlstate).startswith("BF"):
            raise
    return True


def test_requests_do_what_their_token_may(engine: Engine, logins: dict[str, str]) -> None:
    """As the server makes them, with the role of the token taken on: exactly the allowed pass."""
    on = engine.connect(conninfo=logins["server"])
    for statement, allowed in CALLS:
        through = {role for role in PG_ROLE if passes(engine, on, PG_ROLE[role], statement)}
        assert through == allowed, statement


def test_the_servers_login_does_nothing_by_itself(engine: Engine, logins: dict[str, str]) -> None:
    """Without a role taken on it opens sessions, and is refused everything else."""
    on = engine.connect(conninfo=logins["server"])
    for statement, _ in CALLS:
        assert not passes(engine, on, "none", statement), statement
    for call in ("authenticate(%s)", "session_of(%s)", "end_session(%s)", "log_in(%s, '', '')"):
        engine.rows(f"select backfill.{call}", sha256("none"), on=on)


def test_nobody_else_takes_a_role_on(engine: Engine, logins: dict[str, str]) -> None:
    """Who has a role takes on those that it is made of, and never one above it."""
    below = {
        "nobody": set(), "reader": {"reader"}, "runner": {"reader", "runner"},
        "operator": {"reader", "operator"}, "admin": {"reader", "runner", "operator", "admin"},
        "server": set(WHO) - {"nobody"},
    }  # fmt: skip
    for who, conninfo in logins.items():
        on = engine.connect(conninfo=conninfo)
        taken = set()
        for role in set(WHO) - {"nobody"}:
            try:
                with on.transaction(force_rollback=True):
                    on.execute(f"set local role backfill_{role}".encode())
                    taken.add(role)
            except REFUSED:
                pass
        assert taken == below[who], who
